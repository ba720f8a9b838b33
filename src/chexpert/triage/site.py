"""What the routes of one site share: its settings, database, images and clock."""

from dataclasses import dataclass

from chexpert.triage.clock import Clock, utc_now
from chexpert.triage.database import Database
from chexpert.triage.images import ImageStore
from chexpert.triage.ranking import rank_anew
from chexpert.triage.settings import SiteSettings

__all__ = ["Site", "open_site"]


@dataclass(frozen=True, slots=True)
class Site:
    """Handed to every router; nothing is kept in modules."""

    settings: SiteSettings
    database: Database
    images: ImageStore
    clock: Clock


def open_site(settings: SiteSettings, clock: Clock = utc_now) -> Site:
    """Open database and objects, migrate the tables, bring the stored order in step with the rule."""
    database = Database(settings.database)
    with database.write() as session:
        rank_anew(session, settings.rule)
    return Site(settings, database, ImageStore(settings.objects), clock)
