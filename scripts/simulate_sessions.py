"""Whether search sessions learn: made-up users pick and reject what they see, and NDCG@10 is measured round by round.

    python -m scripts.simulate_sessions samples
    python -m scripts.simulate_sessions path/to/photos --model path/to/model --captions path/to/captions.csv
    python -m scripts.simulate_sessions samples --choose
    python -m scripts.simulate_sessions samples --uploads

The folder is indexed as `image2search index` does it. Users search through the service's own `Sessions`
(`scripts/bench/session_users.py` says what they do). `--choose` tries weights for picked and rejected pictures with a
third of the users; the others are reported on. `--uploads` begins with a picture of each target instead, alone and with
its caption: that of the demo captioner, or with `--captions` the first one of the file, which a person wrote.
"""

import csv
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from anyio.from_thread import BlockingPortal, start_blocking_portal
from PIL import Image
from rich.console import Console

from app import bootstrap
from app.catalog.view import View
from app.encoder.encoder import IndexedPicture, Text
from app.encoder.workers import Workers
from app.models.captioner.loading import load_captioner
from app.search.query import Query, Weighted
from app.search.service import SearchService
from app.sessions.answering import Answer, Answering
from app.sessions.composing import WEIGHTS, Weights
from app.sessions.ports import Asked, Found
from app.sessions.service import NewSearch, Refinement, Sessions
from app.sessions.store import MemoryStore
from app.sessions.uploads import Uploads
from app.settings import CaptionSettings, IndexSettings, ModelSettings, SearchSettings, Settings, StorageSettings
from app.types import ImageRecord
from indexer.plan import Options
from indexer.progress import SilentProgress
from indexer.run import run_index
from scripts.bench.machine import machine
from scripts.bench.session_users import (
    ROUNDS,
    User,
    Walk,
    by_round,
    divided,
    ndcg,
    of_the_rest,
    users_of_photos,
    users_of_samples,
    walk,
)

say = Console(stderr=True).print

PICKED: Final = (0.5, 1.0, 2.0, 4.0)
REJECTED: Final = (0.0, 0.15, 0.25, 0.5, 1.0)
"""Weights that are tried."""

DEADLINE_S: Final = 300


def main(
    folder: Annotated[Path, typer.Argument(help="pictures")] = Path("samples"),
    model: Annotated[str, typer.Option(help="as MODEL")] = "demo",
    captions: Annotated[Path | None, typer.Option(help="CSV: image, caption; images by file name")] = None,
    choose: Annotated[bool, typer.Option(help="try weights with the users who are not reported on")] = False,
    uploads: Annotated[bool, typer.Option(help="pictures as queries, with and without their captions")] = False,
) -> None:
    """Index the folder and print a table in Markdown."""
    with tempfile.TemporaryDirectory() as workplace, library(folder.resolve(), Path(workplace), model) as served:
        keys = [record.object_key for record in served.records()]
        users = users_of_photos(keys, captions) if captions else users_of_samples(keys)
        tuning, reported = divided(users)
        said = machine("numpy")
        print(f"{said}. {len(keys)} pictures, model {model}.\n")
        if uploads:
            print(with_captions(served, users, first_captions(captions) if captions else demo_captions(folder)))
        else:
            print(choice(served, tuning) if choose else report(served, reported))


@dataclass(frozen=True)
class Served:
    """An indexed folder, and the services that search it."""

    portal: BlockingPortal
    search: SearchService
    view: View

    def records(self) -> list[ImageRecord]:
        return self.view.records_of(self.view.sample(len(self.view)).tolist())

    def walks(self, users: Sequence[User], weights: Weights = WEIGHTS) -> list[Walk]:
        workers = Workers(1, 10)
        sessions = Sessions(
            MemoryStore(3600, 10_000),
            Answering(self.find, workers, weights=weights),
            Uploads(None, workers, 0, None),  # type: ignore[arg-type] # these users send no pictures
            fingerprint="",
            max_uploads=0,
            idle_s=3600,
        )
        return [walk(user, _Session(self.portal, sessions, self.view)) for user in users]

    async def find(self, asked: Asked, view: View) -> Found:
        terms = tuple(Weighted(term, weight, term in asked.left_out) for term, weight in asked.terms)
        answer = await self.search.search(Query(terms, asked.k, folders=asked.folders), view)
        return Found(answer.hits, answer.generation, answer.took_ms, answer.good_match, answer.note)


class _Session:
    """As `session_users.Search`."""

    def __init__(self, portal: BlockingPortal, sessions: Sessions, view: View) -> None:
        self._portal, self._sessions, self._view = portal, sessions, view
        self._id, _ = portal.call(sessions.create, view)

    def begin(self, query: str, k: int) -> list[str]:
        return _keys(self._portal.call(self._sessions.search, self._id, NewSearch(query, k=k), self._view))

    def refine(self, pick: Sequence[int], reject: Sequence[int]) -> list[str]:
        refinement = Refinement(pick=tuple(pick), reject=tuple(reject))
        return _keys(self._portal.call(self._sessions.refine, self._id, refinement, self._view))


def _keys(answer: Answer) -> list[str]:
    return [hit.record.object_key for hit in answer.hits]


@contextmanager
def library(folder: Path, workplace: Path, model: str) -> Iterator[Served]:
    """The services over a folder, whose index is kept in `workplace`, once they know how texts and pictures lie."""
    say(f"Indexing {folder} ...")
    settings = Settings(
        storage=StorageSettings(url=str(folder)),
        index=IndexSettings(url=str(workplace)),
        model=ModelSettings(name=model),
        search=SearchSettings(relevance=True),
    )
    parts = bootstrap.build(settings, for_batches=True)
    run_index(parts, Options(), SilentProgress())
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(bootstrap.running(parts, warm_up=True)) as state,
    ):
        view = state["current_view"]()
        ends = time.monotonic() + DEADLINE_S
        while portal.call(partial(state["search"].search, Query.of(Text("a dog")), view)).good_match is None:
            if time.monotonic() > ends:
                raise RuntimeError("The relevance was not ready in time.")
            time.sleep(0.2)
        yield Served(portal, state["search"], view)


def report(served: Served, users: Sequence[User]) -> str:
    """NDCG@10 by round, and among the pictures that were not judged before."""
    walks = served.walks(users)
    lines = [
        f"{len(users)} users, {len({user.target for user in users})} targets; weights {WEIGHTS.picked:g} and "
        f"{WEIGHTS.rejected:g}.",
        "",
        "| | NDCG@10 | users better, worse than the round before | NDCG@10 of pictures not judged before | the same "
        "pictures, first search |",
        "|---|---|---|---|---|",
    ]
    means = by_round(walks)
    lines.append(f"| first search | {means[0]:.3f} | | | |")
    for number in range(1, ROUNDS + 1):
        better, worse = changes(walks, number)
        rest, first = of_the_rest(walks, number)
        lines.append(f"| round {number} | {means[number]:.3f} | {better}, {worse} | {rest:.3f} | {first:.3f} |")
    return "\n".join(lines)


def changes(walks: Sequence[Walk], number: int) -> tuple[int, int]:
    """How many users the round made better off, and worse off."""
    values = [(by_round([each])[number], by_round([each])[number - 1]) for each in walks]
    return sum(now > before for now, before in values), sum(now < before for now, before in values)


def with_captions(served: Served, users: Sequence[User], caption_of: Callable[[str], str | None]) -> str:
    """NDCG@10 of pictures as queries, two of each target, without themselves; by the weight of their captions."""
    chance = random.Random(3)
    targets = sorted({user.target for user in users}, key=sorted)
    pairs = [(key, target - {key}) for target in targets for key in chance.sample(sorted(target), min(2, len(target)))]
    queries = [(key, target, caption) for key, target in pairs if (caption := caption_of(key))]
    ids = {record.object_key: record.image_id for record in served.records()}
    lines = [f"{len(queries)} pictures as queries.", "", "| weight of the caption | NDCG@10 |", "|---|---|"]
    for weight in (0.0, 0.25, 0.5, 1.0, 2.0):
        values = []
        for key, target, caption in queries:
            terms = ((IndexedPicture(ids[key]), 1.0), *([(Text(caption), weight)] if weight else []))
            found = served.portal.call(served.find, Asked(terms, 11), served.view)
            values.append(ndcg([hit.record.object_key for hit in found.hits if hit.record.object_key != key], target))
        lines.append(f"| {weight:g} | {np.mean(values):.3f} |")
    return "\n".join(lines)


def demo_captions(folder: Path) -> Callable[[str], str | None]:
    captioner = load_captioner(CaptionSettings(model="demo"), ModelSettings().cache.expanduser())

    def caption_of(key: str) -> str | None:
        with Image.open(folder / key) as image:
            return captioner.caption([captioner.resize.shrink(image.convert("RGB"))])[0]

    return caption_of


def first_captions(captions: Path) -> Callable[[str], str | None]:
    with captions.open(encoding="utf-8") as file:
        first = {row["image"]: row["caption"] for row in reversed(list(csv.DictReader(file)))}
    return lambda key: first.get(key.rpartition("/")[2])


def choice(served: Served, users: Sequence[User]) -> str:
    """NDCG@10 of the last round for each pair of weights."""
    lines = [
        f"{len(users)} users to choose weights on.",
        "",
        "| picked | rejected | round 1 | round 2 | round 3 | not judged before, round 3 |",
        "|---|---|---|---|---|---|",
    ]
    for picked, rejected in product(PICKED, REJECTED):
        walks = served.walks(users, Weights(picked, rejected))
        _, *rounds = by_round(walks)
        cells = " | ".join(f"{each:.3f}" for each in (*rounds, of_the_rest(walks, ROUNDS)[0]))
        lines.append(f"| {picked:g} | {rejected:g} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
