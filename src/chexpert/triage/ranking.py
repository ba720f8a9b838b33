"""The columns the order goes by, derived from what the models said of a study's images."""

from collections.abc import Sequence

from sqlalchemy import case, update
from sqlalchemy.orm import Session

from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.domain.predictions import Prediction
from chexpert.domain.studies import Tier
from chexpert.domain.triage import Entry, TriageRule
from chexpert.triage.tables import Study

__all__ = ["apply_rule", "derive", "entry_of", "rank_anew"]


def entry_of(study: Study) -> Entry:
    """What the rule needs to know of a row."""
    return Entry(
        study=study.id,
        tier=Tier(study.tier),
        arrived=study.arrived,
        priority=study.priority,
        flag=Observation(study.flag) if study.flag else None,
    )


def derive(study: Study, predictions: Sequence[Prediction], rule: TriageRule) -> None:
    """Set the derived columns from the newest prediction of each image; none at all leaves arrival order.

    The priority is the highest of the images; the flag is that of the image it raises most, then of the highest
    priority.
    """
    study.priority = max((one.priority for one in predictions), default=None)
    flagged = [one for one in predictions if one.flag is not None]
    flags = sorted(
        flagged,
        key=lambda one: (
            rule.raised_tier(Entry(study.id, Tier(study.tier), study.arrived, flag=one.flag)),
            -one.priority,
        ),
    )
    study.flag = str(flags[0].flag) if flags else ""
    study.flag_score = flags[0].scores[OBSERVATIONS.index(Observation(study.flag))] if flags else None
    study.version = predictions[-1].version if predictions else ""
    apply_rule(study, rule)


def apply_rule(study: Study, rule: TriageRule) -> None:
    """Set what follows from tier, flag and priority."""
    study.flagged = study.flag != ""
    study.rank = -(study.priority or 0.0)
    study.raised_tier = int(rule.raised_tier(entry_of(study)))


def rank_anew(session: Session, rule: TriageRule) -> None:
    """Bring stored raised tiers in step with the site's rule: its list of critical observations may have changed."""
    critical = sorted(str(o) for o in rule.critical)
    raised = case((Study.flag.in_(critical), int(Tier.STAT)), else_=int(Tier.URGENT))
    wanted = case((~Study.flagged, Study.tier), (Study.tier < raised, Study.tier), else_=raised)
    session.execute(
        update(Study)
        .where(Study.waiting, Study.raised_tier != wanted)
        .values(raised_tier=wanted)
        .execution_options(synchronize_session=False),
    )
