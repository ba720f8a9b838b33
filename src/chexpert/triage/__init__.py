"""The triage site and its worker: intake, worklist, reading, answers, label events, and the rollout page.

Meets the model only over V2, and the rest of the house over tables, objects and HTTP. It must not judge models, edit
git, train, or load torch; it must never leave a study out of the list, nor lower what an order asked for.
"""

__all__ = [
    "api",
    "app",
    "asking",
    "clock",
    "database",
    "errors",
    "evidence_tables",
    "exporting",
    "findings",
    "forms",
    "identity",
    "images",
    "intake",
    "marks",
    "migrations",
    "moving",
    "pages",
    "pictures",
    "presenting",
    "ranking",
    "reading",
    "record_pages",
    "records",
    "rendering",
    "rollout_page",
    "rollouts",
    "scoring",
    "security",
    "server",
    "settings",
    "site",
    "tables",
    "waits",
    "worker",
    "worklist",
]
