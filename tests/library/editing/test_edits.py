"""Group commit: edits that wait are published together, and none is lost."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.catalog.changes import Changes
from app.catalog.live import LiveCatalog
from app.catalog.view import View
from app.errors import Conflict, ImageNotFound, Overloaded, StorageUnavailable, Unavailable
from app.library.editing.edits import ATTEMPTS, Edit, Edits, joined
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.types import ImageRecord, image_id_of, row_id
from tests.support.catalogs import MODEL, adding, catalog_on, keys_of, record, removing
from tests.support.service import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class CountedPublisher:
    """A live catalog whose publications are counted, and can be held up."""

    def __init__(self, store: ObjectStore) -> None:
        self.catalog = catalog_on(store, IndexSettings())
        self.live = LiveCatalog(self.catalog, MODEL)
        self.publications = 0
        self.gate = threading.Event()
        self.gate.set()
        self.before: Callable[[], object] = lambda: None

    def publish(self, plan: Callable[[View | None], Changes]) -> View:
        assert self.gate.wait(10)
        self.publications += 1

        def plan_and_interfere(view: View | None) -> Changes:
            changes = plan(view)
            self.before()
            return changes

        return self.live.publish(plan_and_interfere)

    @property
    def keys(self) -> set[str]:
        return keys_of(self.catalog.load())


@pytest.fixture
def publisher(tmp_path: Path) -> CountedPublisher:
    return CountedPublisher(LocalStore(tmp_path))


def add(key: str) -> Edit[str]:
    return Edit(frozenset({image_id_of(key)}), lambda _: (adding(key), key))


def remove(key: str) -> Edit[int]:
    return Edit(frozenset({image_id_of(key)}), lambda _: (removing(key), 1))


def retag(key: str, tag: str) -> Edit[ImageRecord]:
    """Adds one more tag to those that the picture has."""

    def plan(view: View | None) -> tuple[Changes, ImageRecord]:
        assert view is not None
        now = view.record(image_id_of(key))
        tagged = replace(now, tags=(*now.tags, tag))
        vectors = view.vectors_of([row_id(now.image_id)])
        return Changes(added=(tagged,), vectors=vectors), tagged

    return Edit(frozenset({image_id_of(key)}), plan)


async def test_edits_that_wait_are_published_together(publisher: CountedPublisher) -> None:
    edits = Edits(publisher.publish, 100)
    publisher.gate.clear()
    first = asyncio.create_task(edits.make(add("a/0.jpg")))
    await asyncio.sleep(0)
    await until(lambda: edits.waiting == 0)
    others = [asyncio.create_task(edits.make(add(f"a/{number}.jpg"))) for number in range(1, 32)]
    await asyncio.sleep(0)
    publisher.gate.set()
    assert await asyncio.gather(first, *others) == [f"a/{number}.jpg" for number in range(32)]
    assert publisher.publications == 2
    assert publisher.keys == {f"a/{number}.jpg" for number in range(32)}


async def test_edits_of_one_picture_follow_each_other(publisher: CountedPublisher) -> None:
    edits = Edits(publisher.publish, 100)
    await edits.make(add("a.jpg"))
    tags = [f"tag {number}" for number in range(5)]
    answers = await asyncio.gather(*(edits.make(retag("a.jpg", tag)) for tag in tags))
    assert [answer.tags for answer in answers] == [tuple(tags[: number + 1]) for number in range(5)]
    assert publisher.live.current.records[row_id(image_id_of("a.jpg"))].tags == tuple(tags)


async def test_an_edit_that_can_not_be_planned_costs_the_others_nothing(publisher: CountedPublisher) -> None:
    edits = Edits(publisher.publish, 100)

    def refuse(view: View | None) -> tuple[Changes, None]:
        raise ImageNotFound("gone")

    good, bad = await asyncio.gather(
        edits.make(add("a.jpg")), edits.make(Edit(frozenset({"1" * 16}), refuse)), return_exceptions=True
    )
    assert good == "a.jpg"
    assert isinstance(bad, ImageNotFound)
    assert publisher.keys == {"a.jpg"}


async def test_an_edit_is_planned_again_when_another_writer_was_first(publisher: CountedPublisher) -> None:
    edits = Edits(publisher.publish, 100)
    await edits.make(add("a.jpg"))
    changed = replace(record("a.jpg"), etag="2", modified_at=record("a.jpg").modified_at + 1)

    def others_publish() -> None:
        publisher.before = lambda: None
        publisher.catalog.publish(replace(adding("a.jpg"), added=(changed,)), MODEL)

    publisher.before = others_publish
    assert (await edits.make(retag("a.jpg", "new"))).etag == "2"
    now = publisher.live.current.records[row_id(image_id_of("a.jpg"))]
    assert (now.etag, now.tags) == ("2", ("new",))


async def test_a_removal_holds_against_a_writer_that_changed_the_row(publisher: CountedPublisher) -> None:
    edits = Edits(publisher.publish, 100)
    await edits.make(add("a.jpg"))
    newer = replace(adding("a.jpg"), added=(replace(record("a.jpg"), etag="2"),))

    def others_publish() -> None:
        publisher.before = lambda: None
        publisher.catalog.publish(newer, MODEL)

    publisher.before = others_publish
    await edits.make(remove("a.jpg"))
    assert publisher.keys == set()


async def test_a_fight_ends(publisher: CountedPublisher) -> None:
    edits = Edits(publisher.publish, 100)
    await edits.make(add("a.jpg"))
    versions = iter(range(2, 100))

    def others_publish() -> None:
        version = next(versions)
        newer = replace(record("a.jpg"), etag=str(version), modified_at=1e9 + version)
        publisher.catalog.publish(replace(adding("a.jpg"), added=(newer,)), MODEL)

    publisher.before = others_publish
    before = publisher.publications
    with pytest.raises(Conflict, match="Try again"):
        await edits.make(retag("a.jpg", "new"))
    assert publisher.publications - before == ATTEMPTS


async def test_every_caller_hears_that_the_storage_is_down(publisher: CountedPublisher) -> None:
    edits = Edits(publisher.publish, 100)

    def fail() -> None:
        raise StorageUnavailable("down")

    publisher.before = fail
    answers = await asyncio.gather(*(edits.make(add(f"{n}.jpg")) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageUnavailable] * 3
    publisher.before = lambda: None
    assert await edits.make(add("0.jpg")) == "0.jpg"


async def test_a_caller_that_leaves_loses_nothing(publisher: CountedPublisher) -> None:
    edits = Edits(publisher.publish, 100)
    publisher.gate.clear()
    gone = asyncio.create_task(edits.make(add("a.jpg")))
    await asyncio.sleep(0)
    gone.cancel()
    publisher.gate.set()
    await edits.make(add("b.jpg"))
    assert publisher.keys == {"a.jpg", "b.jpg"}


async def test_the_queue_is_bounded_and_the_end_is_orderly(publisher: CountedPublisher) -> None:
    edits = Edits(publisher.publish, 2)
    publisher.gate.clear()
    under_way = asyncio.create_task(edits.make(add("0.jpg")))
    await asyncio.sleep(0)
    await until(lambda: edits.waiting == 0)
    waiting = [asyncio.create_task(edits.make(add(f"{number}.jpg"))) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await edits.make(add("3.jpg"))
    stopping = asyncio.create_task(edits.stop())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="stopping"):
        await edits.make(add("4.jpg"))
    publisher.gate.set()
    await stopping
    assert await asyncio.gather(under_way, *waiting) == ["0.jpg", "1.jpg", "2.jpg"]
    assert publisher.keys == {"0.jpg", "1.jpg", "2.jpg"}


def test_vectors_of_joined_changes_keep_their_order() -> None:
    parts = [adding("a.jpg"), removing("b.jpg"), adding("c.jpg", "d.jpg")]
    changes = joined(parts)
    assert [each.object_key for each in changes.added] == ["a.jpg", "c.jpg", "d.jpg"]
    np.testing.assert_array_equal(changes.vectors, np.concatenate([parts[0].vectors, parts[2].vectors]))
    assert changes.removed == {image_id_of("b.jpg")}
