"""The jobs in the bucket: what is written, in which order, and who may change it."""

import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from app.catalog.layout import is_picture_key
from app.errors import Conflict, JobNotFound, PreconditionFailed, StorageUnavailable
from app.generation.jobs import Generation, PictureRequest, Progress, Result, State
from app.generation.ledger import Ledger, Lost, created_at, new_id
from app.models.generator.base import Parameters
from app.settings import StorageSettings
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.storage.s3 import S3Store
from tests.support.stores import InterferingStore, LostReplyStore


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalStore(tmp_path)
    return S3Store(StorageSettings(url=f"s3://{request.getfixturevalue('bucket')}"))


def new_job(prompt: str = "a cat") -> Generation:
    return Generation(new_id(), PictureRequest(prompt, seed=1), "ann", time.time(), has_first=True)


def job_key(job: Generation) -> str:
    return f"_generated/{job.id}.json"


def test_a_job_from_acceptance_to_outcome(store: ObjectStore) -> None:
    ledger, other = Ledger(store), Ledger(store)
    job = new_job()
    entry = ledger.add(job, b"first")
    assert ledger.entries() == other.entries() == [entry]
    assert (entry.id, entry.caller, entry.is_claimed) == (job.id, "ann", False)
    assert other.find(job.id) == job
    held = ledger.claim(entry)
    assert held is not None
    assert ledger.first(job.id) == b"first"
    held = ledger.renew(replace(held, generation=replace(held.generation, progress=Progress(step=2, steps=5))))
    assert other.find(job.id).progress == Progress(step=2, steps=5)
    assert other.entries()[0].is_claimed
    ledger.put_picture(job.id, 1, b"png")
    parameters = Parameters("a cat", 8, 8, 5, 2.0, 1, "ddim")
    outcome = replace(held.generation, results=(Result(1, 1, 8, 8, 3),), parameters=parameters).ended(
        State.SUCCEEDED, 9
    )
    assert ledger.end(outcome) == other.find(job.id) == outcome
    assert ledger.entries() == []
    assert sorted(info.key for info in store.list()) == [f"_generated/{job.id}-1.png", f"_generated/{job.id}.json"]
    assert not any(is_picture_key(info.key) for info in store.list()), "the indexer never takes them for pictures"


def test_one_claim_wins(store: ObjectStore) -> None:
    ledger, other = Ledger(store), Ledger(store)
    entry = ledger.add(new_job(), None)
    held = ledger.claim(entry)
    assert held is not None
    assert other.claim(entry) is None
    taken_over = other.claim(other.entries()[0])
    assert taken_over is not None
    assert taken_over.attempt == 2
    for move in (ledger.renew, ledger.release):
        with pytest.raises(Lost):
            move(held)
    other.release(taken_over)
    (free,) = ledger.entries()
    assert not free.is_claimed
    again = ledger.claim(free)
    assert again is not None
    assert again.attempt == 1, "a service that stops in order does not count"


def test_a_job_has_one_outcome(store: ObjectStore) -> None:
    ledger, other = Ledger(store), Ledger(store)
    job = new_job()
    held = ledger.claim(ledger.add(job, None))
    assert held is not None
    cancelled = other.end(job.ended(State.CANCELLED, 1))
    assert ledger.end(held.generation.ended(State.SUCCEEDED, 2)) == cancelled
    with pytest.raises(Lost):
        ledger.renew(held)


def test_a_place_in_the_queue_whose_job_is_over_is_cleared(store: ObjectStore) -> None:
    ledger = Ledger(store)
    over, gone, damaged = new_job(), new_job(), new_job()
    entries = [ledger.add(job, None) for job in (over, gone, damaged)]
    ledger.change(over.id, lambda job: job.ended(State.SUCCEEDED, 1))  # a crash before the place was removed
    store.delete(job_key(gone))
    store.put(job_key(damaged), b'{"id": 1}')
    assert [ledger.claim(entry) for entry in entries] == [None, None, None]
    assert ledger.entries() == []


@pytest.mark.parametrize("error", [StorageUnavailable("no reply"), None])
def test_a_claim_whose_reply_was_lost_is_ours(tmp_path: Path, error: Exception | None) -> None:
    inner = LocalStore(tmp_path)
    entry = Ledger(inner).add(new_job(), None)
    ledger = Ledger(LostReplyStore(inner, entry.key, error or PreconditionFailed("twice")))
    held = ledger.claim(entry)
    assert held is not None
    assert ledger.renew(held).entry.is_claimed


def test_an_outcome_whose_reply_was_lost_counts(tmp_path: Path) -> None:
    inner, job = LocalStore(tmp_path), new_job()
    Ledger(inner).add(job, None)
    ledger = Ledger(LostReplyStore(inner, job_key(job), PreconditionFailed("twice")))
    outcome = job.ended(State.FAILED, 1, "no")
    assert ledger.end(outcome) == outcome
    assert ledger.entries() == []


def test_changes_by_others_are_kept(tmp_path: Path) -> None:
    inner, job = LocalStore(tmp_path), new_job()
    Ledger(inner).add(job, None)
    other = Ledger(inner)
    store = InterferingStore(inner, job_key(job), lambda: other.change(job.id, lambda now: replace(now, model="m")))
    changed = Ledger(store).change(job.id, lambda now: replace(now, error="e"))
    assert (changed.model, changed.error) == ("m", "e")


def test_changes_without_end_are_given_up(store: ObjectStore) -> None:
    ledger, other, job = Ledger(store), Ledger(store), new_job()
    ledger.add(job, None)
    times = iter(range(100))

    def change(now: Generation) -> Generation:
        other.change(job.id, lambda before: replace(before, model=f"m{next(times)}"))
        return replace(now, error="e")

    with pytest.raises(Conflict):
        ledger.change(job.id, change)


def test_fields_of_later_versions_are_passed_over(store: ObjectStore) -> None:
    ledger, job = Ledger(store), new_job()
    ledger.add(job, None)
    fields = orjson.loads(store.get(job_key(job)).data)
    fields["request"]["style"] = fields["mood"] = "calm"
    del fields["has_first"]
    store.put(job_key(job), orjson.dumps(fields))
    assert ledger.find(job.id) == replace(job, has_first=False)


def test_ids_that_no_job_has(tmp_path: Path) -> None:
    for job_id in ("", "x", "0" * 31, "0" * 32, "0" * 33, "../" * 10, "G" * 32, "queue/"):
        with pytest.raises(JobNotFound):
            Ledger(LocalStore(tmp_path)).find(job_id)


def test_ids_are_sorted_by_their_time() -> None:
    assert abs(created_at(new_id()) - time.time()) < 5
    assert len({new_id() for _ in range(100)}) == 100


def test_expiry_is_bounded_and_stops_at_the_first_young_one(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.generation.ledger.MAX_EXPIRED", 3)
    ledger = Ledger(store)
    for number in range(5):
        job = replace(new_job(), id=f"{number:012x}{'0' * 20}")
        ledger.add(job, None)
        ledger.end(job.ended(State.FAILED, 1))
    young = ledger.add(new_job(), None)
    assert [ledger.expire(1.0), ledger.expire(1.0), ledger.expire(1.0)] == [3, 2, 0]
    assert ledger.find(young.id).state is State.QUEUED
