"""A service killed with SIGKILL before every write of an addition, a deletion and an undo leaves nothing half done.

Each time an index run afterwards finds a picture and its row together, or neither of them; and a picture that is
neither can be brought back from the trash.
"""

import asyncio
import io
import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.bootstrap import Parts, running
from app.catalog.layout import TRASH_PREFIX
from app.library.editing.adding import NewPicture
from app.library.editing.deleting import Selection
from app.types import image_id_of
from indexer.plan import Options
from indexer.progress import JsonProgress
from indexer.run import run_index
from tests.support.catalogs import catalog_on
from tests.support.processes import unmeasured
from tests.support.service import encoded, make_parts, picture
from tests.support.stores import KillingStore

pytestmark = pytest.mark.long(30)

KEY = "nature/sunset1.jpg"
NEW = "new/new.png"
OLD = {"animals/cat1.jpg", KEY}

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


@pytest.fixture(scope="module", autouse=True)
def without_coverage() -> Iterator[None]:
    """A killed process reports no coverage, and measuring doubles its time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - unmeasured().keys():
            patch.delenv(name)
        yield


def parts_at(folder: Path) -> Parts:
    return make_parts(folder, keys=())


async def act(parts: Parts, what: str) -> None:
    async with running(parts) as state:
        if what == "add":
            await state["adding"].add(NewPicture(encoded(picture("x")), "new.png", "new"))
        elif what == "undo":
            await state["deleting"].restore(deletion_in(parts))
        else:
            view = state["current_view"]()
            selected = await state["deleting"].select(Selection(image_ids=(image_id_of(KEY),)), view)
            await state["deleting"].delete(selected, view)


def deletion_in(parts: Parts) -> str:
    first = next(iter(parts.store.list(TRASH_PREFIX)))
    return first.key.removeprefix(TRASH_PREFIX).partition("/")[0]


def act_and_die(folder: str, what: str, write: int) -> None:
    """In a process of its own."""
    parts = parts_at(Path(folder))
    store = KillingStore(parts.store, write, after=False)
    killed = replace(parts, store=store, index_store=store, catalog=catalog_on(store, parts.settings.index))
    asyncio.run(act(killed, what))


def killed_at(folder: Path, what: str, write: int) -> int | None:
    process = PROCESSES.Process(target=act_and_die, args=(str(folder), what, write))
    process.start()
    process.join(60)
    return process.exitcode


def indexed_after_a_run(parts: Parts) -> set[str]:
    """The keys of the index after an index run, which are those of the pictures in the store."""
    run_index(parts, Options(allow_shrink=True), JsonProgress(io.StringIO()))
    snapshot = parts.catalog.load()
    assert snapshot is not None
    keys = {record.object_key for record in snapshot.records.values()}
    assert keys == {info.key for info in parts.store.list() if not info.key.startswith("_")}
    assert len(snapshot.vectors) == len(keys)
    return keys


def test_an_addition(tmp_path: Path) -> None:
    """It takes three writes: the object, the journal, the pointer."""
    for write in range(1, 5):
        folder = tmp_path / str(write)
        parts = make_parts(folder, keys=sorted(OLD))
        code = killed_at(folder, "add", write)
        assert code == (0 if write == 4 else -signal.SIGKILL)
        is_stored = write > 1
        snapshot = parts.catalog.load()
        assert snapshot is not None
        is_published = write == 4
        assert (len(snapshot.records) == 3) is is_published
        assert indexed_after_a_run(parts) == (OLD | {NEW} if is_stored else OLD)


def test_a_deletion(tmp_path: Path) -> None:
    """Until its object is deleted the picture is whole; from then on the trash has it."""
    ended = False
    for write in range(1, 20):
        folder = tmp_path / str(write)
        parts = make_parts(folder, keys=sorted(OLD))
        data = parts.store.get(KEY).data
        ended = killed_at(folder, "delete", write) == 0
        left = indexed_after_a_run(parts)
        assert left in (OLD, OLD - {KEY})
        if KEY not in left:
            asyncio.run(act(parts_at(folder), "undo"))
            assert indexed_after_a_run(parts) == OLD
        assert parts.store.get(KEY).data == data
        if ended:
            break
    assert ended
    assert write > 7


def test_an_undo(tmp_path: Path) -> None:
    ended = False
    for write in range(1, 20):
        folder = tmp_path / str(write)
        parts = make_parts(folder, keys=sorted(OLD))
        data = parts.store.get(KEY).data
        asyncio.run(act(parts_at(folder), "delete"))
        ended = killed_at(folder, "undo", write) == 0
        if KEY not in indexed_after_a_run(parts):
            asyncio.run(act(parts_at(folder), "undo"))
        assert indexed_after_a_run(parts) == OLD
        assert parts.store.get(KEY).data == data
        if ended:
            break
    assert ended
