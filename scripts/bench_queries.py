"""Twenty queries with minus words, or of a picture and a text, on the sample pictures: as before, and as now.

    python -m scripts.bench_queries
    python -m scripts.bench_queries pairs
    python -m scripts.bench_queries tuning
    python -m scripts.bench_queries away
    python -m scripts.bench_queries more

The names of the samples say what they show: `animals/dog-in-snow.jpg`. A result is right if its name has all the wanted
words and none of the unwanted ones. Of the first 5 results (or as many as can be right), the share that is right is
counted. Before, a text was searched as it is written, and the vectors of a text and a picture were added up as they
are. `pairs` asks for every sample whose thing is on another sample too, by that sample and its own background: "this
thing, but in snow". `tuning` shows other queries, and `away` asks for each such thing with its background taken away
(`dog -"in the snow"`): the weight of minus words was chosen on both. `more` asks for each thing and then each
background, as feedback in a session does.
"""

import asyncio
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from app import bootstrap
from app.catalog.view import View
from app.encoder.encoder import Encoder, IndexedPicture, RawVector, Text
from app.search import minus_words
from app.search.query import Query, Weighted
from app.search.service import SearchService
from app.settings import IndexSettings, SearchSettings, Settings, StorageSettings
from app.types import Hit, image_id_of
from indexer.plan import Options
from indexer.progress import SilentProgress
from indexer.run import run_index
from scripts.bench.machine import machine

FIRST: Final = 5
WEIGHTS: Final = (-0.01, -0.25, -0.3, -0.35, -0.4, -0.5, -1.0)
"""Of minus words, which `tuning` and `away` compare."""

AWAY: Final = 3
"""Results among which nothing should be that was taken away."""


@dataclass(frozen=True)
class Case:
    """A query, and the words of the names of right results: any one of each group, none of the unwanted ones."""

    text: str
    wanted: tuple[str, ...]
    """Groups of words, as in `dog|poodle`."""
    unwanted: str = ""
    picture: str = ""
    """A sample that is shown besides."""
    target: str = ""
    """The only right result, which has to come first."""

    def is_shown(self, hit: Hit) -> bool:
        return hit.record.object_key == self.picture

    def is_right(self, key: str) -> bool:
        words = set(Path(key).stem.split("-"))
        has_wanted = all(words & set(group.split("|")) for group in self.wanted)
        return has_wanted and not words & set(self.unwanted.split("|")) and key != self.picture


_PLACED: Final = re.compile("(.*)-((?:on|in|at)-.*)")
"""Of names: what is shown, and where."""

CATS: Final = "cat|cats"
DOGS: Final = "dog|poodle"

REPORTED: Final = (
    Case("cat -snow", (CATS,), "snow"),
    Case("a house -night -snow", ("house|houses",), "night|snow"),
    Case('castle -"on grass"', ("castle",), "grass"),
    Case("a dog without snow", (DOGS,), "snow|hot"),
    Case("car not at night", ("car|taxi",), "night"),
    Case("apple without red", ("apple|apples",), "red"),
    Case("t-shirt -black", ("shirt",), "black"),
    Case("octopus, but not the sea", ("octopus",), "sea"),
    Case("an animal in the snow without a fox", ("snow",), "fox|house|church|coat|gloves|boot|scarf"),
    Case("sunset -castle", ("sunset",), "castle"),
    Case("boat on the sea -ship", ("sailboat|speedboat|boat|canoe",), "ship"),
    Case("ein Hund ohne Schnee", (DOGS,), "snow|hot"),
    Case("in snow", ("dog", "snow"), picture="animals/dog-on-grass.jpg"),
    Case("in snow", ("cat", "snow"), picture="animals/cat-at-night.jpg"),
    Case("at sunset", ("castle", "sunset"), picture="buildings/castle-on-grass.jpg"),
    Case("at night", ("house", "night"), picture="buildings/house-on-grass.jpg"),
    Case("on grass", ("lion|tiger|giraffe|elephant|elephants|bear", "grass"), picture="animals/giraffe-at-sunset.jpg"),
    Case("red", ("shirt", "red"), picture="clothing/t-shirt-on-white.jpg"),
    Case("on grass", ("horse", "grass"), picture="animals/horse-at-sunset.jpg"),
    Case("on the sea", ("octopus", "sea"), picture="animals/octopus-on-blue.jpg"),
)

TUNING: Final = (
    Case("rabbit -snow", ("rabbit",), "snow"),
    Case("church -night", ("church",), "night"),
    Case("unicorn without night", ("unicorn",), "night"),
    Case("elephant not at sunset", ("elephant|elephants",), "sunset"),
    Case("pig -pink", ("pig",), "pink"),
    Case("hamburger -fries", ("hamburger",), "fries"),
    Case("camel -sand", ("camel|camels",), "sand"),
    Case("a cap without red", ("cap",), "red"),
    Case("dress -red", ("dress",), "red"),
    Case("wolf -snow", ("wolf",), "snow"),
    Case("in snow", ("fox", "snow"), picture="animals/fox-on-grass.jpg"),
    Case("at sunset", ("giraffe", "sunset"), picture="animals/giraffe-and-deciduous-tree-on-grass.jpg"),
    Case("at night", ("church", "night"), picture="buildings/church-in-snow.jpg"),
    Case("on grass", ("factory", "grass"), picture="buildings/factory-at-sunset.jpg"),
    Case("red", ("dress", "red"), picture="clothing/dress-on-white.jpg"),
    Case("on sand", ("lion", "sand"), picture="animals/lion-at-sunset.jpg"),
)


MORE_WEIGHTS: Final = (0.25, 0.4, 0.5, 0.7, 1.0)
"""Of a later wish, which `more` compares."""

BACKGROUNDS: Final = {
    "in-snow": "in the snow", "on-grass": "on the grass", "at-night": "at night", "at-sunset": "at sunset",
    "on-the-sea": "on the sea", "in-the-sky": "blue sky", "on-sand": "on the beach", "in-a-room": "in a room",
}  # fmt: skip
"""As the names of samples end, and as people wish for it."""

EVERY: Final = 7
"""Of the pairs that no sample shows, every seventh is asked for: there are two thousand."""


class Library:
    """The indexed samples."""

    def __init__(self, search: SearchService, view: View, encoder: Encoder) -> None:
        self._search, self._view, self._encoder = search, view, encoder
        self._keys = [record.object_key for record in view.records_of(view.columns.rows.tolist())]

    async def before(self, case: Case) -> float:
        """As written; the vectors of text and picture are added up."""
        text = Text(case.text)
        if not case.picture:
            return await self._share(case, Query.of(text))
        shown = IndexedPicture(image_id_of(case.picture))
        both = [await self._encoder.encode(term, self._view) for term in (text, shown)]
        return await self._share(case, Query.of(RawVector(np.sum(both, axis=0))))

    async def now(self, case: Case) -> tuple[float, float]:
        """With minus words, or as the sum of both terms; and as the product of both terms."""
        if not case.picture:
            share = await self._share(case, Query.of(Text(case.text), minus_words=True))
            return share, share
        terms = Text(case.text), IndexedPicture(image_id_of(case.picture))
        return await self._share(case, Query.of(*terms)), await self._share(case, Query.of(*terms, combine="all"))

    def pairs(self) -> list[Case]:
        """One case for each ordered pair of samples that show the same on different backgrounds."""
        places = {key: match for key in self._keys if (match := _PLACED.fullmatch(Path(key).stem))}
        return [
            Case(place[2].replace("-", " "), (), picture=shown, target=key)
            for key, place in places.items()
            for shown, other in places.items()
            if place[1] == other[1] and place[2] != other[2]
        ]

    def away(self) -> list[tuple[str, set[str], set[str]]]:
        """Queries that take a background away, each with the samples of the thing on others, and on this one."""
        places = {key: match for key in self._keys if (match := _PLACED.fullmatch(Path(key).stem))}
        cases: dict[str, tuple[str, set[str], set[str]]] = {}
        for place in places.values():
            same = {key for key, other in places.items() if other[1] == place[1] and other[2] == place[2]}
            right = {key for key, other in places.items() if other[1] == place[1] and other[2] != place[2]}
            background = re.sub("^(in|on) (snow|grass)$", r"\1 the \2", place[2].replace("-", " "))
            text = f'{place[1].replace("-", " ")} -"{background}"'
            if right:
                cases[text] = text, right, same
        return list(cases.values())

    def more(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Things and backgrounds that a sample has together, and some that none has."""
        shown = {(match[1], match[2]) for key in self._keys if (match := _PLACED.fullmatch(Path(key).stem))}
        pairs = [(thing, place) for thing in sorted({thing for thing, _ in shown}) for place in BACKGROUNDS]
        return [pair for pair in pairs if pair in shown], [pair for pair in pairs if pair not in shown][::EVERY]

    async def first_of(self, thing: str, place: str, weight: float) -> str:
        """The name of the first picture for a thing, and then more of a background."""
        terms = Weighted(Text(thing.replace("-", " "))), Weighted(Text(BACKGROUNDS[place]), weight)
        answer = await self._search.search(Query(terms, k=1), self._view)
        return Path(answer.hits[0].record.object_key).stem

    async def found_away(self, text: str, right: set[str], gone: set[str]) -> tuple[float, float]:
        """Whether a right one is the first, and whether one that was taken away is among the first `AWAY`."""
        answer = await self._search.search(Query.of(Text(text), k=AWAY, minus_words=True), self._view)
        found = [hit.record.object_key for hit in answer.hits]
        return float(found[:1] != [] and found[0] in right), float(bool(gone & set(found)))

    async def _share(self, case: Case, query: Query) -> float:
        answer = await self._search.search(replace(query, k=FIRST + 1), self._view)
        if case.target:
            return float(case.target in [hit.record.object_key for hit in answer.hits if not case.is_shown(hit)][:1])
        count = min(FIRST, sum(map(case.is_right, self._keys)))
        found = [hit.record.object_key for hit in answer.hits if not case.is_shown(hit)][:count]
        return sum(map(case.is_right, found)) / count


class Part(StrEnum):
    REPORTED = "reported"
    PAIRS = "pairs"
    TUNING = "tuning"
    AWAY = "away"
    MORE = "more"


def main(part: Annotated[Part, typer.Argument(help="which queries")] = Part.REPORTED) -> None:
    """Print a table in Markdown."""
    made = {
        Part.REPORTED: _report, Part.PAIRS: _pairs, Part.TUNING: _weights, Part.AWAY: _away, Part.MORE: _more,
    }[part]  # fmt: skip
    with tempfile.TemporaryDirectory() as workplace:
        settings = Settings(
            storage=StorageSettings(url=str(Path("samples").resolve())),
            index=IndexSettings(url=workplace),
            search=SearchSettings(relevance=True),
        )
        parts = bootstrap.build(settings)
        run_index(parts, Options(), SilentProgress())
        print(f"{machine()}. The samples, the demo model.\n")
        print(asyncio.run(made(parts)))


async def _library(state: bootstrap.State) -> Library:
    view, search = state["current_view"](), state["search"]
    async with asyncio.timeout(120):
        while (await search.search(Query.of(Text("dog")), view)).good_match is None:  # noqa: ASYNC110 - seen in answers
            await asyncio.sleep(0.5)
    return Library(search, view, state["indexing"].encoder)


async def _report(parts: bootstrap.Parts) -> str:
    lines = ["| query | before | sum | all |", "|---|---|---|---|"]
    rows: list[tuple[bool, float, float, float]] = []
    async with bootstrap.running(parts, warm_up=True) as state:
        library = await _library(state)
        for case in REPORTED:
            shares = await library.before(case), *await library.now(case)
            rows.append((bool(case.picture), *shares))
            shown = f"`{Path(case.picture).stem}` + " if case.picture else ""
            lines.append(f"| {shown}{case.text} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    for name, is_shown in (("minus words", False), ("picture and text", True)):
        means = np.mean([shares for has_picture, *shares in rows if has_picture is is_shown], axis=0)
        lines.append(f"| **mean, {name}** | " + " | ".join(f"**{mean:.0%}**" for mean in means) + " |")
    return "\n".join(lines)


async def _pairs(parts: bootstrap.Parts) -> str:
    async with bootstrap.running(parts, warm_up=True) as state:
        library = await _library(state)
        cases = library.pairs()
        before, by_sum, by_all = await _means(library, cases)
    return f"{len(cases)} pairs, the right one first: {before:.1%} before, {by_sum:.1%} sum, {by_all:.1%} all."


async def _weights(parts: bootstrap.Parts) -> str:
    """The means over the queries for choosing, for each weight of minus words."""
    lines = ["| weight | before | minus words | | before | sum | all |", "|---|---|---|---|---|---|---|"]
    async with bootstrap.running(parts, warm_up=True) as state:
        library = await _library(state)
        for weight in WEIGHTS:
            minus_words.MINUS_WEIGHT = weight  # type: ignore[misc]
            means = [
                await _means(library, [case for case in TUNING if bool(case.picture) is shown])
                for shown in (False, True)
            ]
            minus, both = means
            lines.append(
                f"| {weight} | {minus[0]:.0%} | {minus[1]:.0%} | | {both[0]:.0%} | {both[1]:.0%} | {both[2]:.0%} |"
            )
    return "\n".join(lines)


async def _away(parts: bootstrap.Parts) -> str:
    """For each weight: every other query apart, since the weight was chosen on one half."""
    lines = ["| weight | right first | taken away, but among the first 3 | the other half | |", "|---|---|---|---|---|"]
    async with bootstrap.running(parts, warm_up=True) as state:
        library = await _library(state)
        cases = library.away()
        for weight in WEIGHTS:
            minus_words.MINUS_WEIGHT = weight  # type: ignore[misc]
            found = np.array([await library.found_away(*case) for case in cases])
            halves = (*found[::2].mean(axis=0), *found[1::2].mean(axis=0))
            lines.append(f"| {weight} | " + " | ".join(f"{share:.0%}" for share in halves) + " |")
    return "\n".join([f"{len(cases)} queries", *lines])


async def _more(parts: bootstrap.Parts) -> str:
    lines = ["| weight | has both: right first | none has: still the thing first |", "|---|---|---|"]
    async with bootstrap.running(parts, warm_up=True) as state:
        library = await _library(state)
        both, apart = library.more()
        for weight in MORE_WEIGHTS:
            right = [await library.first_of(*pair, weight) == "-".join(pair) for pair in both]
            kept = [(await library.first_of(*pair, weight)).startswith(pair[0]) for pair in apart]
            lines.append(f"| {weight} | {np.mean(right):.0%} | {np.mean(kept):.0%} |")
    return "\n".join([f"{len(both)} and {len(apart)} queries", *lines])


async def _means(library: Library, cases: Sequence[Case]) -> list[float]:
    shares = [(await library.before(case), *await library.now(case)) for case in cases]
    means: list[float] = np.mean(shares, axis=0).tolist()
    return means


if __name__ == "__main__":
    typer.run(main)
