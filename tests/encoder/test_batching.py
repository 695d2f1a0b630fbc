"""The micro-batcher with an embedder whose passes the test holds and lets go."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image

from app.encoder.batching import MicroBatcher
from app.errors import InvalidImage, Overloaded, Unavailable
from app.settings import BatchSettings
from app.types import ModelIdentity, Vectors

DEADLINE_S = 10
T = TypeVar("T")


class HeldEmbedder:
    """A text's vector is its number, a picture's is its width; each pass waits until the test lets it go."""

    identity = ModelIdentity("held", "0" * 32, 2, "fp32", "test")
    notice = None

    def __init__(self) -> None:
        self.passes: list[tuple[str, list[float]]] = []
        self.threads: set[int] = set()
        self.gate = threading.Semaphore(0)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return self._pass("texts", [float(text) for text in texts])

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        return self._pass("images", [float(image.width) for image in images])

    def _pass(self, kind: str, values: list[float]) -> Vectors:
        self.passes.append((kind, values))
        self.threads.add(threading.get_ident())
        assert self.gate.acquire(timeout=DEADLINE_S)
        return self.result(values)

    def result(self, values: list[float]) -> Vectors:
        return np.array([[value, 0] for value in values], np.float32)


class PickyEmbedder(HeldEmbedder):
    """Fails every pass that has a 13 in it."""

    def result(self, values: list[float]) -> Vectors:
        if 13 in values:
            raise InvalidImage(f"13 of {len(values)}")
        return super().result(values)


class MiscountingEmbedder(HeldEmbedder):
    """Loses a row of every pass of more than one."""

    def result(self, values: list[float]) -> Vectors:
        return super().result(values)[: max(1, len(values) - 1)]


@asynccontextmanager
async def started(embedder: HeldEmbedder, **settings: float) -> AsyncIterator[MicroBatcher]:
    batcher = MicroBatcher(embedder, BatchSettings(**settings))
    await batcher.start()
    try:
        yield batcher
    finally:
        embedder.gate.release(1000)
        await batcher.stop()


def run(scenario: Callable[[], Awaitable[T]]) -> T:
    async def with_deadline() -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await scenario()

    return asyncio.run(with_deadline())


async def until(condition: Callable[[], Any]) -> None:
    """Polls: the worker thread has no event to await."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def text(batcher: MicroBatcher, number: int) -> asyncio.Task[Vectors]:
    return asyncio.create_task(batcher.embed_text(str(number)))


def image(batcher: MicroBatcher, width: int) -> asyncio.Task[Vectors]:
    return asyncio.create_task(batcher.embed_image(Image.new("RGB", (width, 1))))


def test_a_lone_request_goes_at_once_and_alone() -> None:
    embedder = HeldEmbedder()
    embedder.gate.release()

    async def scenario() -> Vectors:
        async with started(embedder) as batcher:
            return await batcher.embed_text("7")

    np.testing.assert_array_equal(run(scenario), [7, 0])
    assert embedder.passes == [("texts", [7])]


def test_requests_that_gather_during_a_pass_share_the_next_and_get_their_own_answers() -> None:
    embedder = HeldEmbedder()

    async def scenario() -> list[Vectors]:
        async with started(embedder, max_size=3) as batcher:
            first = text(batcher, 0)
            await until(lambda: embedder.passes)
            later = [text(batcher, number) for number in range(1, 6)]
            await until(lambda: batcher.waiting == 5)
            embedder.gate.release(3)
            return await asyncio.gather(first, *later)

    answers = run(scenario)
    assert [answer[0] for answer in answers] == [0, 1, 2, 3, 4, 5]
    assert embedder.passes == [("texts", [0]), ("texts", [1, 2, 3]), ("texts", [4, 5])]


def test_texts_and_pictures_take_turns() -> None:
    embedder = HeldEmbedder()

    async def scenario() -> None:
        async with started(embedder, max_size=2) as batcher:
            tasks = [text(batcher, 0)]
            await until(lambda: embedder.passes)
            tasks += [text(batcher, number) for number in (1, 2, 3, 4, 5, 6)]
            tasks += [image(batcher, width) for width in (7, 8, 9)]
            await until(lambda: batcher.waiting == 9)
            embedder.gate.release(100)
            await asyncio.gather(*tasks)

    run(scenario)
    assert [kind for kind, _ in embedder.passes] == ["texts", "images", "texts", "images", "texts", "texts"]


def test_the_model_runs_in_one_thread_and_the_event_loop_goes_on() -> None:
    embedder = HeldEmbedder()

    async def scenario() -> None:
        async with started(embedder) as batcher:
            task = text(batcher, 1)
            await until(lambda: embedder.passes)  # the loop turns while the pass is held
            embedder.gate.release(3)
            await asyncio.gather(task, image(batcher, 2), text(batcher, 3))

    run(scenario)
    assert len(embedder.threads) == 1
    assert threading.get_ident() not in embedder.threads


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    embedder = HeldEmbedder()

    async def scenario() -> None:
        async with started(embedder, max_queue=2) as batcher:
            running = text(batcher, 0)
            await until(lambda: embedder.passes)
            waiting = [text(batcher, 1), image(batcher, 2)]
            await until(lambda: batcher.waiting == 2)
            for refused in (batcher.embed_text("3"), batcher.embed_image(Image.new("RGB", (4, 1)))):
                with pytest.raises(Overloaded, match="2 requests already wait") as caught:
                    await refused
                assert 1 <= caught.value.retry_after_s <= 60
            embedder.gate.release(3)
            await asyncio.gather(running, *waiting)
            assert batcher.waiting == 0
            embedder.gate.release()
            assert (await batcher.embed_text("5"))[0] == 5

    run(scenario)


def test_a_cancelled_request_leaves_the_queue() -> None:
    embedder = HeldEmbedder()

    async def scenario() -> None:
        async with started(embedder, max_queue=2) as batcher:
            running = text(batcher, 0)
            await until(lambda: embedder.passes)
            gone, kept = text(batcher, 1), text(batcher, 2)
            await until(lambda: batcher.waiting == 2)
            gone.cancel()
            await until(lambda: batcher.waiting == 1)
            newcomer = text(batcher, 3)
            embedder.gate.release(2)
            await asyncio.gather(running, kept, newcomer)
            assert gone.cancelled()

    run(scenario)
    assert embedder.passes == [("texts", [0]), ("texts", [2, 3])]


def test_a_request_cancelled_during_its_pass_does_not_disturb_its_neighbour() -> None:
    embedder = HeldEmbedder()

    async def scenario() -> None:
        async with started(embedder) as batcher:
            running = text(batcher, 0)
            await until(lambda: embedder.passes)
            gone, kept = text(batcher, 1), text(batcher, 2)
            await until(lambda: batcher.waiting == 2)
            embedder.gate.release()
            await until(lambda: len(embedder.passes) == 2)
            gone.cancel()
            embedder.gate.release()
            assert (await kept)[0] == 2
            await running

    run(scenario)


def test_a_bad_item_fails_alone_and_the_loop_lives_on() -> None:
    embedder = PickyEmbedder()

    async def scenario() -> list[Vectors | BaseException]:
        async with started(embedder) as batcher:
            running = text(batcher, 0)
            await until(lambda: embedder.passes)
            tasks = [image(batcher, width) for width in (12, 13, 14)]
            await until(lambda: batcher.waiting == 3)
            embedder.gate.release(100)
            answers = await asyncio.gather(running, *tasks, return_exceptions=True)
            assert (await batcher.embed_text("15"))[0] == 15
            return answers

    _, before, bad, after = run(scenario)
    assert isinstance(before, np.ndarray)
    assert isinstance(after, np.ndarray)
    assert (before[0], after[0]) == (12, 14)
    assert isinstance(bad, InvalidImage)
    assert str(bad) == "13 of 1"


def test_a_pass_that_returns_too_few_rows_is_never_handed_out_askew() -> None:
    embedder = MiscountingEmbedder()

    async def scenario() -> list[Vectors]:
        async with started(embedder) as batcher:
            running = text(batcher, 0)
            await until(lambda: embedder.passes)
            tasks = [text(batcher, number) for number in (1, 2, 3)]
            await until(lambda: batcher.waiting == 3)
            embedder.gate.release(100)
            return await asyncio.gather(running, *tasks)

    assert [answer[0] for answer in run(scenario)] == [0, 1, 2, 3]


def test_stopping_answers_what_was_accepted_and_refuses_what_comes() -> None:
    embedder = HeldEmbedder()

    async def scenario() -> None:
        batcher = MicroBatcher(embedder, BatchSettings(max_size=1))
        with pytest.raises(Unavailable, match="starting or stopping"):
            await batcher.embed_text("0")
        await batcher.stop()
        await batcher.start()
        await batcher.start()
        accepted = [text(batcher, number) for number in range(3)]
        await until(lambda: embedder.passes)
        stopping = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="starting or stopping"):
            await batcher.embed_text("9")
        embedder.gate.release(3)
        assert [answer[0] for answer in await asyncio.gather(*accepted)] == [0, 1, 2]
        await stopping
        await batcher.stop()
        with pytest.raises(Unavailable):
            await batcher.embed_text("9")

    run(scenario)


def test_a_stopped_batcher_can_be_started_again() -> None:
    embedder = HeldEmbedder()
    embedder.gate.release(2)

    async def scenario() -> None:
        batcher = MicroBatcher(embedder, BatchSettings())
        for number in (1, 2):
            await batcher.start()
            assert (await batcher.embed_text(str(number)))[0] == number
            await batcher.stop()

    run(scenario)


def test_nobody_is_left_hanging_when_the_worker_is_killed() -> None:
    embedder = HeldEmbedder()

    async def scenario() -> list[Vectors | BaseException]:
        batcher = MicroBatcher(embedder, BatchSettings())
        await batcher.start()
        in_pass = text(batcher, 0)
        await until(lambda: embedder.passes)
        waiting = [text(batcher, 1), image(batcher, 2)]
        await until(lambda: batcher.waiting == 2)
        next(task for task in asyncio.all_tasks() if task.get_name() == "micro-batcher").cancel()
        answers = await asyncio.gather(in_pass, *waiting, return_exceptions=True)
        embedder.gate.release(10)
        with pytest.raises(Unavailable):
            await batcher.embed_text("3")
        return answers

    answers = run(scenario)
    assert [type(answer) for answer in answers] == [Unavailable] * 3


def test_several_wait_for_more_until_the_batch_is_full() -> None:
    embedder = HeldEmbedder()
    embedder.gate.release(2)

    async def scenario() -> list[Vectors]:
        async with started(embedder, max_size=3, max_wait_ms=1000) as batcher:
            two = [text(batcher, number) for number in (1, 2)]
            await until(lambda: batcher.waiting == 2)
            await asyncio.sleep(0)  # both are seen, and wait for a third
            assert embedder.passes == []
            return await asyncio.gather(*two, text(batcher, 3))

    np.testing.assert_array_equal(run(scenario), [[1, 0], [2, 0], [3, 0]])
    assert embedder.passes == [("texts", [1, 2, 3])]


def test_several_do_not_wait_longer_than_the_settings_say_and_a_lone_one_not_at_all() -> None:
    embedder = HeldEmbedder()
    embedder.gate.release(2)

    async def scenario() -> float:
        async with started(embedder, max_size=3, max_wait_ms=100) as batcher:
            began = asyncio.get_running_loop().time()
            await asyncio.gather(text(batcher, 1), text(batcher, 2))
            together_s = asyncio.get_running_loop().time() - began
            began = asyncio.get_running_loop().time()
            await text(batcher, 3)
            assert asyncio.get_running_loop().time() - began < together_s
            return together_s

    assert run(scenario) >= 0.1
    assert embedder.passes == [("texts", [1, 2]), ("texts", [3])]


def test_a_text_asked_for_again_costs_no_pass() -> None:
    embedder = HeldEmbedder()
    embedder.gate.release(5)

    async def scenario() -> MicroBatcher:
        async with started(embedder, text_cache=2) as batcher:
            for number in (1, 2, 1, 3, 1, 2):  # 3 drives out 2, which was used longest ago
                np.testing.assert_array_equal(await batcher.embed_text(str(number)), [number, 0])
            return batcher

    batcher = run(scenario)
    assert [values for _, values in embedder.passes] == [[1], [2], [3], [2]]
    assert (batcher.text_cache.hits, batcher.text_cache.misses, len(batcher.text_cache)) == (2, 4, 2)


def test_a_remembered_vector_cannot_be_changed_by_who_got_it() -> None:
    embedder = HeldEmbedder()
    embedder.gate.release(1)

    async def scenario() -> Vectors:
        async with started(embedder) as batcher:
            await batcher.embed_text("1")
            return await batcher.embed_text("1")

    with pytest.raises(ValueError, match="read-only"):
        run(scenario)[0] = 5


def test_a_text_whose_pass_failed_is_tried_again() -> None:
    embedder = PickyEmbedder()
    embedder.gate.release(2)

    async def scenario() -> None:
        async with started(embedder) as batcher:
            for _ in range(2):
                with pytest.raises(InvalidImage):
                    await batcher.embed_text("13")

    run(scenario)
    assert len(embedder.passes) == 2
