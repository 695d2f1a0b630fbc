"""`image2search fetch`: what a search on the web finds, added to the library without a service."""

import asyncio
from collections.abc import Callable

from app.bootstrap import build, running
from app.catalog.view import View
from app.cli.search import check_place
from app.errors import AppError
from app.library.imports.job import Import, ImportState, Item, Outcome, WebQuery
from app.models.advice import IN_SHORT, knows_drawings_only
from app.printable import printable
from app.settings import Settings, load_settings


def fetch(query: WebQuery, folder: str, say: Callable[[str], None], tell: Callable[[str], None]) -> None:
    """Add what is found to the folder, `say` what became of each picture, and `tell` the person the rest.

    Raises AppError, also when not one picture could be added.
    """
    settings = load_settings()
    check_place(settings)
    job = asyncio.run(_import(settings, query, folder, say))
    if job.state is ImportState.FAILED:
        raise job.cause or AppError(job.error or "The web search failed.")
    if not job.items:
        raise AppError(f"{query.provider} knows no picture of {query.query!r}. Try other words.")
    counts = job.counts()
    tell(f"{counts[Outcome.ADDED]} added, {counts[Outcome.PRESENT]} there already, {_not_added(job)} not added.")
    if _not_added(job) == len(job.items):
        raise AppError("Not one picture could be added.")
    if knows_drawings_only(settings.model):
        tell(IN_SHORT)


async def _import(settings: Settings, query: WebQuery, folder: str, say: Callable[[str], None]) -> Import:
    async with running(build(settings)) as state:
        job = state["imports"].start(query, folder)
        async for item in job.watch():
            say(_line(item, state["current_view"]))
        return job


def _not_added(job: Import) -> int:
    counts = job.counts()
    return len(job.items) - counts[Outcome.ADDED] - counts[Outcome.PRESENT]


def _line(item: Item, current_view: Callable[[], View]) -> str:
    """`added    lighthouses/a.jpg    "A lighthouse" by Ann Example is licensed under CC BY 2.0.`"""
    if item.image_id is None:
        return printable(f"{item.outcome:<8} {item.name}: {item.reason}")
    record = current_view().record(item.image_id)
    attribution = record.source.attribution if record.source else None
    return printable("  ".join(filter(None, (f"{item.outcome:<8} {item.object_key}", attribution))))
