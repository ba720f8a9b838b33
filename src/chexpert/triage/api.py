"""The JSON interface: what a sender, a simulator or the pages' own scripts use."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, UploadFile
from fastapi.responses import JSONResponse

from chexpert.domain.studies import Tier
from chexpert.triage import moving, reading, worklist
from chexpert.triage.forms import (
    TIER_WORDS,
    AnswerForm,
    MoveForm,
    OpenForm,
    ReaderForm,
    RejectForm,
    labels_of,
    order_of,
    tier_of,
    uploads_of,
)
from chexpert.triage.identity import acting
from chexpert.triage.intake import accept
from chexpert.triage.presenting import why
from chexpert.triage.ranking import entry_of
from chexpert.triage.site import Site
from chexpert.triage.tables import Study

__all__ = ["routes"]

Text = Annotated[str, Form()]


def routes(site: Site) -> APIRouter:
    """Routes under /api, and /healthz."""
    router = APIRouter()
    router.include_router(_intake(site))
    router.include_router(_reading(site))

    @router.get("/healthz")
    def health() -> JSONResponse:
        if not site.database.is_alive():
            return JSONResponse({"status": "tables away"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ok"})

    @router.get("/api/worklist")
    def listing(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
        now = site.clock()
        with site.database.read() as session:
            rows = worklist.ranked(session, site.settings.rule, worklist.Query(now, limit))
            total = worklist.count(session, site.settings.rule, now).unread
            return {"total": total, "entries": [_entry(site, row.study, now) for row in rows]}

    return router


def _intake(site: Site) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.post("/studies", status_code=201)
    def upload(
        images: list[UploadFile],
        *,
        patient: Text = "",
        accession: Text = "",
        tier: Text = "routine",
        sex: Text = "",
        age: Text = "",
        view: Text = "",
        source: Text = "",
    ) -> dict[str, Any]:
        order = order_of(
            patient=patient,
            accession=accession,
            tier=tier,
            sex=sex,
            age=age,
            view=view,
            source=source,
        )
        files = uploads_of(images, site.settings.file_bytes_max)
        accepted = accept(site, order, files)
        return {
            "study": accepted.study,
            "images": accepted.images,
            "known": accepted.known,
            "refused": [{"file": one.file, "reason": one.reason} for one in accepted.refused],
        }

    return router


def _reading(site: Site) -> APIRouter:
    router = APIRouter(prefix="/api/studies/{study_id}")

    @router.post("/open")
    def open_study(request: Request, study_id: str, form: OpenForm) -> dict[str, Any]:
        with site.database.write() as session:
            return _standing(
                reading.open_study(
                    session,
                    study_id,
                    acting(request, form),
                    site.clock(),
                    image=form.image,
                    idle=site.settings.lock_idle,
                    take_over=form.take_over,
                ),
            )

    @router.post("/answers")
    def answers(request: Request, study_id: str, form: AnswerForm) -> dict[str, Any]:
        labels = labels_of(form.answers)
        with site.database.write() as session:
            return _standing(reading.answer(session, study_id, acting(request, form), labels, site.clock()))

    @router.post("/sign")
    def sign(request: Request, study_id: str, form: ReaderForm) -> dict[str, Any]:
        with site.database.write() as session:
            return _standing(reading.sign(session, study_id, acting(request, form), site.clock()))

    @router.post("/reject")
    def reject(request: Request, study_id: str, form: RejectForm) -> dict[str, Any]:
        with site.database.write() as session:
            return _standing(reading.reject(session, study_id, acting(request, form), form.reason, site.clock()))

    @router.post("/move")
    def move(request: Request, study_id: str, form: MoveForm) -> dict[str, Any]:
        tier, rule, now = tier_of(form.tier), site.settings.rule, site.clock()
        with site.database.write() as session:
            study = moving.move(session, study_id, acting(request, form), tier, form.reason, rule=rule, now=now)
            return {
                **_standing(study),
                "tier": TIER_WORDS[study.ordered],
                "raised_tier": TIER_WORDS[Tier(study.raised_tier)],
                "why": why(study, rule, now),
            }

    return router


def _standing(study: Study) -> dict[str, Any]:
    return {"study": study.id, "state": study.state, "reader": study.reader, "version": study.version}


def _entry(site: Site, study: Study, now: Any) -> dict[str, Any]:
    entry = entry_of(study)
    return {
        "study": study.id,
        "tier": TIER_WORDS[study.ordered],
        "raised_tier": TIER_WORDS[Tier(study.raised_tier)],
        "flag": study.flag or None,
        "priority": study.priority,
        "arrived": study.arrived.isoformat(),
        "state": study.state,
        "why": why(study, site.settings.rule, now),
        "moved_by": study.moved_by or None,
        "overdue": site.settings.rule.is_overdue(entry, now),
        "accession": study.accession,
        "version": study.version,
        "not_analysed": study.refusal or None,
        "reader": study.reader or None,
    }
