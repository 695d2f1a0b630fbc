"""Dismissals in a store that several replicas write at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import Conflict, DismissalNotFound, IndexCorrupt, InvalidInput, PreconditionFailed
from app.library.duplicates import dismissals as kept
from app.library.duplicates.dismissals import KEY, Dismissal, Dismissals
from app.library.duplicates.groups import Group, Kind, Reason
from app.storage.base import ObjectStore
from app.storage.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def dismissal(*tokens: str, kind: Kind = Kind.PHOTO) -> Dismissal:
    return Dismissal.of(kind, frozenset(tokens))


def group(*tokens: str, kind: Kind = Kind.PHOTO) -> Group:
    return Group("id", kind, 1, Reason.NAME, (), 0, frozenset(tokens))


def test_a_group_falls_under_a_dismissal_that_has_all_of_its_pictures(store: LocalStore) -> None:
    dismissals = Dismissals(store)
    assert dismissals.read().find(group("a:1", "b:2")) is None
    dismissals.add(dismissal("a:1", "b:2", "c:3"))
    dismissed = Dismissals(store).read()
    assert dismissed.find(group("a:1", "b:2", "c:3")) == dismissed.find(group("c:3", "b:2"))
    assert dismissed.find(group("c:3", "b:2")) is not None
    assert dismissed.find(group("a:1", "b:2", "c:3", "d:4")) is None, "a new picture: shown again"
    assert dismissed.find(group("a:1", "b:9")) is None, "another content: shown again"
    assert dismissed.find(group("a:1", "b:2", kind=Kind.SIMILAR)) is None


def test_a_dismissal_can_be_undone_and_made_again(store: LocalStore) -> None:
    dismissals = Dismissals(store)
    first = dismissals.add(dismissal("a:1", "b:2"))
    assert dismissals.add(replace(dismissal("b:2", "a:1"), dismissed_at=0.0)) == first
    dismissals.remove(first.id)
    assert dismissals.read().by_id == {}
    with pytest.raises(DismissalNotFound):
        dismissals.remove(first.id)
    assert dismissals.add(dismissal("a:1", "b:2")).id == first.id


def test_replicas_that_write_at_once_lose_nothing(store: LocalStore) -> None:
    wanted = [dismissal(f"a:{number}", f"b:{number}") for number in range(24)]
    replicas = [Dismissals(store) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: replicas[number % 4].add(wanted[number]), range(24)))
        assert Dismissals(store).read().by_id.keys() == {each.id for each in wanted}
        list(pool.map(lambda number: replicas[number % 4].remove(wanted[number].id), range(0, 24, 2)))
    assert Dismissals(store).read().by_id.keys() == {each.id for each in wanted[1::2]}


class LosesReplies:
    """A store whose writes succeed, and whose writers hear that they lost."""

    def __init__(self, store: ObjectStore, writes: int = 1) -> None:
        self._store, self._left = store, writes

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def put(self, *arguments: object, **options: object) -> str:
        etag: str = self._store.put(*arguments, **options)  # type: ignore[arg-type]
        self._left -= 1
        if self._left >= 0:
            raise PreconditionFailed("changed meanwhile")
        return etag


def test_a_write_whose_reply_was_lost_is_no_error(store: LocalStore) -> None:
    made = dismissal("a:1", "b:2")
    assert Dismissals(LosesReplies(store)).add(made) == made
    Dismissals(LosesReplies(store)).remove(made.id)
    assert Dismissals(store).read().by_id == {}


class Refuses(LosesReplies):
    """A store where other writers are always first."""

    def put(self, *arguments: object, **options: object) -> str:
        raise PreconditionFailed("changed meanwhile")


def test_a_writer_gives_up_in_the_end(store: LocalStore) -> None:
    with pytest.raises(Conflict, match="Try once more"):
        Dismissals(Refuses(store)).add(dismissal("a:1", "b:2"))


def test_there_is_an_end_to_dismissals(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_DISMISSALS", 1)
    dismissals = Dismissals(store)
    first = dismissals.add(dismissal("a:1", "b:2"))
    dismissals.add(first)
    with pytest.raises(InvalidInput, match="Undo some first"):
        dismissals.add(dismissal("c:1", "d:2"))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b'{"dismissals": [{"id": "x"}]}',
        b'{"dismissals": [{"id": "x", "kind": "no", "tokens": [], "dismissed_at": 1}]}',
    ],
)
def test_a_damaged_file_is_named(store: LocalStore, damage: bytes) -> None:
    store.put(KEY, damage)
    with pytest.raises(IndexCorrupt, match=KEY):
        Dismissals(store).read()


def test_fields_of_newer_versions_are_passed_over(store: LocalStore) -> None:
    store.put(
        KEY,
        b'{"dismissals": [{"id": "x", "kind": "bytes", "tokens": ["a:1"], "dismissed_at": 1, "by": "Ann"}], "v": 2}',
    )
    assert Dismissals(store).read().by_id["x"].image_ids == ["a"]
