"""Runs over a vector server that a dead writer left with a row too few or too many."""

import numpy as np
import pytest

from app.errors import IndexMismatch, VectorStoreUnavailable
from app.types import image_id_of, row_id
from indexer.run import Options
from tests.indexer.picture_collection import Collection
from tests.support.vector_servers import MemoryCollection, MemoryServer

KEYS = ["a/0.png", "a/1.png", "2.png"]


@pytest.fixture
def served(collection: Collection) -> Collection:
    collection.server = MemoryServer()
    for number, key in enumerate(KEYS):
        collection.put(key, number)
    collection.run()
    return collection


def rows_of(collection: Collection) -> MemoryCollection:
    held = collection.snapshot().vectors
    assert isinstance(held, MemoryCollection)
    return held


def row(key: str) -> int:
    return row_id(image_id_of(key))


def test_a_run_over_a_server_finds_what_it_indexed(served: Collection) -> None:
    assert served.indexed() == set(KEYS)
    for key in KEYS:
        ((hit,),) = served.snapshot().search(served.vector(key)[None], 1)
        assert hit[0] == row(key)


def test_what_has_lost_its_vector_is_read_again(served: Collection, caplog: pytest.LogCaptureFixture) -> None:
    lost = served.vector("a/1.png")
    rows_of(served).remove([row("a/1.png")])
    report = served.run()
    assert (report.unchanged, report.embedded, report.added, report.changed) == (3, 1, 0, 0)
    np.testing.assert_allclose(served.vector("a/1.png"), lost, atol=1e-6)  # another batch, another rounding
    assert "1 pictures have no vector" in caplog.text
    assert served.run().embedded == 0


def test_a_copy_of_what_has_lost_its_vector_is_embedded(served: Collection) -> None:
    rows_of(served).remove([row("a/1.png")])
    served.put("copy.png", 1)
    report = served.run()
    assert (report.added, report.embedded, report.reused) == (1, 1, 1)
    np.testing.assert_array_equal(served.vector("a/1.png"), served.vector("copy.png"))


def test_a_vector_that_can_be_taken_from_another_copy_is(served: Collection) -> None:
    served.put("copy.png", 1)
    served.run()
    rows_of(served).remove([row("a/1.png")])
    assert served.run().embedded == 0
    np.testing.assert_array_equal(served.vector("a/1.png"), served.vector("copy.png"))


def test_rows_that_no_picture_belongs_to_are_dropped(served: Collection) -> None:
    rows_of(served).add(np.array([7, row("new.png")]), rows_of(served).get([row("2.png")] * 2), ["", ""])
    served.put("new.png", 9)
    served.run()
    assert set(rows_of(served).ids().tolist()) == {row(key) for key in [*KEYS, "new.png"]}


def test_a_rebuild_survives_a_lost_vector_of_what_can_not_be_read(served: Collection) -> None:
    rows_of(served).remove([row("a/1.png")])
    report = served.run(Options(rebuild=True))
    assert report.embedded == 3
    assert served.indexed() == set(KEYS)


def test_a_server_that_is_down_fails_the_run_with_its_reason(served: Collection) -> None:
    assert isinstance(served.server, MemoryServer)
    served.server.is_down = True
    with pytest.raises(VectorStoreUnavailable, match="does not answer"):
        served.run()


def test_a_rebuild_moves_to_another_engine(served: Collection) -> None:
    served.server = None
    with pytest.raises(IndexMismatch, match="VECTOR_STORE=milvus"):
        served.run()
    report = served.run(Options(rebuild=True))
    assert (report.embedded, report.added) == (3, 3)
    assert served.snapshot().pointer.engine == "faiss"
    assert served.indexed() == set(KEYS)
