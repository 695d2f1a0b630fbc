"""A publisher killed with SIGKILL at every write it makes leaves a readable generation each time."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import IndexSettings
from tests.support.catalogs import MODEL, adding, catalog_on, keys_of
from tests.support.processes import unmeasured
from tests.support.stores import KillingStore, store_at

pytestmark = pytest.mark.long(30)

SETTINGS = IndexSettings(journal_max_rows=2, keep_generations=1)
OLD = {"a/1.jpg", "a/2.jpg", "a/3.jpg"}

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


@pytest.fixture(scope="module", autouse=True)
def without_coverage() -> Iterator[None]:
    """A killed process reports no coverage, and measuring doubles its time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - unmeasured().keys():
            patch.delenv(name)
        yield


def publish(environment: dict[str, str], url: str, write: int, when: str, keys: list[str]) -> None:
    """In a process of its own."""
    os.environ.update(environment)
    catalog = catalog_on(KillingStore(store_at(url), write, after=when == "after"), SETTINGS)
    if keys:
        catalog.publish(adding(*keys), MODEL)
    else:
        current = catalog.load()
        assert current is not None
        catalog.fold(current)


def publish_and_die(url: str, write: int, when: str, keys: list[str]) -> int | None:
    """Exit code of a real process that publishes `keys`, or folds, and is killed around its nth write."""
    process = PROCESSES.Process(target=publish, args=(dict(os.environ), url, write, when, keys))
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("keys", "writes"),
    [(["b/1.jpg"], 2), (["b/1.jpg", "b/2.jpg", "b/3.jpg"], 7)],
    ids=["journal", "generation"],
)
def test_every_death_leaves_the_old_state_or_the_new_one(
    storage_url: str, when: str, keys: list[str], writes: int
) -> None:
    """A journal takes two writes; a generation four and the three deletions of the one that it replaces."""
    new = OLD | set(keys)
    states = []
    for write in range(1, writes + 2):
        url = f"{storage_url}/{write}"
        if url.startswith("file://"):
            Path(url.removeprefix("file://")).mkdir()
        catalog = catalog_on(store_at(url), SETTINGS)
        catalog.publish(adding(*OLD), MODEL)
        code = publish_and_die(url, write, when, keys)
        assert code == (0 if write > writes else -signal.SIGKILL)
        states.append(keys_of(catalog.load()))
        assert keys_of(catalog.publish(adding("c/1.jpg"), MODEL)) == states[-1] | {"c/1.jpg"}
    published_at = 2 if writes == 2 else 4
    last_old = published_at if when == "before" else published_at - 1
    assert states == [OLD] * last_old + [new] * (writes + 1 - last_old)


def test_publishing_goes_on_over_what_a_dead_writer_left(storage_url: str) -> None:
    catalog = catalog_on(store_at(storage_url), SETTINGS)
    catalog.publish(adding(*OLD), MODEL)
    assert publish_and_die(storage_url, 1, "after", ["b/1.jpg"]) == -signal.SIGKILL
    catalog.publish(adding("c/1.jpg"), MODEL)
    assert keys_of(catalog.load()) == OLD | {"c/1.jpg"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_death_of_a_folder_leaves_all_pictures(storage_url: str, when: str) -> None:
    """A fold takes the writes of a generation, and the deletions of the old one with its two journals."""
    writes = 4 + 5
    for write in range(1, writes + 2):
        url = f"{storage_url}/{write}"
        if url.startswith("file://"):
            Path(url.removeprefix("file://")).mkdir()
        catalog = catalog_on(store_at(url), SETTINGS)
        catalog.publish(adding(*OLD), MODEL)
        catalog.publish(adding("b/1.jpg", "b/2.jpg"), MODEL)
        crowded = catalog.publish(adding("b/3.jpg"), MODEL)
        assert publish_and_die(url, write, when, []) == (0 if write > writes else -signal.SIGKILL)
        state = catalog.load()
        assert keys_of(state) == OLD | {"b/1.jpg", "b/2.jpg", "b/3.jpg"}
        is_folded = write > 4 if when == "before" else write >= 4
        assert (state.pointer.generation != crowded.pointer.generation) == is_folded
        assert (catalog.fold(state) is state) == is_folded
        assert keys_of(catalog.load()) == keys_of(state)
