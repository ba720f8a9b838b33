"""The pages: worklist, study, dashboard, rollout, upload."""

from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chexpert.domain.studies import Tier
from chexpert.triage import identity, reading, scoring, worklist
from chexpert.triage.errors import NotAllowed
from chexpert.triage.findings import findings
from chexpert.triage.forms import TIER_WORDS
from chexpert.triage.presenting import patient_words, probability, row, short_wait, wait_words
from chexpert.triage.reading import WORDS
from chexpert.triage.records import Records
from chexpert.triage.rollout_page import rollout_page
from chexpert.triage.rollouts import Timelines, standing
from chexpert.triage.site import Site
from chexpert.triage.tables import Marks
from chexpert.triage.waits import activity

__all__ = ["Pages", "routes"]

_TEMPLATES: Final = Path(__file__).parent / "templates"


class Pages:
    """Renders templates with what every page shows."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.records = Records(site.settings.objects)
        self.timelines = Timelines(site.settings.objects, site.clock)
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals.update(
            probability=probability, patient_words=patient_words, wait_words=wait_words, short_wait=short_wait
        )

    def render(self, request: Request, template: str, **values: Any) -> HTMLResponse:
        """One page."""
        common = {
            "site_name": self.site.settings.name,
            "reader": identity.reader_of(request),
            "logged_in": identity.user_of(request) is not None,
            "rights": identity.rights_of(request),
            "standing": standing(self.timelines.events("production")),
            "here": request.url.path,
            "now": self.site.clock(),
        }
        return HTMLResponse(self._templates.get_template(template).render(**common, **values))

    def bare(self, template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> HTMLResponse:
        """A page that shows nothing of the site but its name."""
        text = self._templates.get_template(template).render(site_name=self.site.settings.name, **values)
        return HTMLResponse(text, status)


def routes(pages: Pages) -> APIRouter:
    """All pages, and the form that chooses a reader's name."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)
    if pages.site.settings.login is None:
        router.include_router(identity.routes())
    router.include_router(_worklist(pages))
    router.include_router(_study(pages))

    @router.get("/rollout")
    def rollout(request: Request) -> HTMLResponse:
        return pages.render(request, "rollout.html", **rollout_page(pages.timelines, pages.records))

    @router.get("/dashboard")
    def dashboard(request: Request) -> HTMLResponse:
        with pages.site.database.read() as session:
            seen = activity(session, pages.site.clock())
        longest = max((one.p95 for one in seen.waits if one.p95), default=timedelta()) or timedelta(seconds=1)
        return pages.render(request, "dashboard.html", seen=seen, longest=longest, tiers=TIER_WORDS)

    @router.get("/upload")
    def upload(request: Request) -> HTMLResponse:
        limit_mb = pages.site.settings.file_bytes_max // 1_000_000
        return pages.render(request, "upload.html", limit_mb=limit_mb, tiers=list(TIER_WORDS.values()))

    return router


def _worklist(pages: Pages) -> APIRouter:
    router = APIRouter()
    site = pages.site
    keeper = worklist.CountKeeper(site.settings.rule)

    @router.get("/")
    def listing(
        request: Request,
        show: worklist.Show = worklist.Show.UNREAD,
        q: Annotated[str, Query(max_length=100)] = "",
        after: Annotated[str, Query(max_length=300)] = "",
    ) -> HTMLResponse:
        now, rule, limit = site.clock(), site.settings.rule, site.settings.page_rows
        name = reader.name if (reader := identity.reader_of(request)) else ""
        position = _position(after)
        query = worklist.Query(position.as_of if position else now, limit, position, show, name, q)
        with site.database.read() as session:
            counts = keeper.count(session, now)
            if show is worklist.Show.SIGNED:
                rows = [row(study, rule, now, name) for study in worklist.signed(session, query)]
                following = ""
            else:
                listed = worklist.ranked(session, rule, query)
                rows = [row(one.study, rule, now, name) for one in listed]
                following = listed[-1].position.to_text() if len(listed) == limit else ""
        return pages.render(
            request,
            "worklist.html",
            rows=rows,
            counts=counts,
            median_wait=wait_words(now - counts.median_arrival) if counts.median_arrival else "-",
            show=show.value,
            shows=[one.value for one in worklist.Show],
            q=q,
            after=after,
            following=following,
        )

    return router


def _study(pages: Pages) -> APIRouter:
    router = APIRouter()
    site = pages.site

    @router.get("/studies/{study_id}")
    def study_page(request: Request, study_id: str) -> HTMLResponse:
        now = site.clock()
        with site.database.read() as session:
            study = reading.get_study(session, study_id)
            predictions = list(scoring.latest_predictions(session, study_id).values())
            marks = session.get(Marks, study.version) if study.version else None
            answers = reading.current_answers(session, study_id)
            words = {value: word for word, value in WORDS.items()}
            reader = identity.reader_of(request)
            return pages.render(
                request,
                "study.html",
                study=study,
                images=study.images,
                row=row(study, site.settings.rule, now, reader.name if reader else ""),
                raised=TIER_WORDS[Tier(study.raised_tier)],
                findings=findings(predictions, marks.points if marks else {}, study.flag),
                answered={name: words[one.value] for name, one in answers.items()},
                has_marks=marks is not None,
            )

    return router


def _position(text: str) -> worklist.Position | None:
    if not text:
        return None
    try:
        return worklist.Position.from_text(text)
    except ValueError as error:
        raise NotAllowed(what="after", reason="no place in the list: follow the link of the page") from error
