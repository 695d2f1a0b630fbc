"""Pictures are decoded in processes that can be stopped, crash alone, and share one budget of memory."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage, Unavailable
from app.pictures.decoding import decode_image
from app.pictures.limits import Limits, reserve
from app.pictures.processes import DecoderProcesses, InThisProcess, MemoryBudget
from app.settings import ImageSettings
from tests.support import picture_work as work
from tests.support.pictures import assert_alike, encoded, quarters
from tests.support.service import wait_until

LIMITS = ImageSettings(max_memory_bytes=64 << 20, timeout_s=1)

Work = Callable[[bytes, Limits], object]


@pytest.fixture(scope="module")
def decoders() -> Iterator[DecoderProcesses]:
    decoders = DecoderProcesses(2, LIMITS.max_memory_bytes)
    yield decoders
    decoders.close()


def test_a_picture_is_read_elsewhere_and_processes_are_used_again(decoders: DecoderProcesses) -> None:
    picture = decoders.run(decode_image, encoded(quarters()), LIMITS)
    assert_alike(picture.image, quarters())
    ids = {decoders.run(work.process_id, b"", LIMITS) for _ in range(3)}
    assert len(ids) == 1
    assert os.getpid() not in ids


def test_pictures_that_take_more_than_pillow_are_read_within_the_limits_too(decoders: DecoderProcesses) -> None:
    deep = Image.fromarray(np.full((30, 40), 65535, np.uint16))
    for image in (quarters(mode="RGBA"), deep, Image.new("F", (40, 30), 0.5)):
        file = encoded(image, "TIFF")
        assert_alike(decoders.run(decode_image, file, LIMITS).image, decode_image(file, LIMITS).image)


def test_a_file_of_many_megabytes_arrives(decoders: DecoderProcesses) -> None:
    assert decoders.run(work.count, bytes(20 << 20), LIMITS) == 20 << 20


@pytest.mark.parametrize(
    ("job", "data", "error", "words"),
    [
        (work.refuse, b"", InvalidImage, "not this one"),
        (work.fail, b"", RuntimeError, "KeyError: 'odd'"),
        (work.spin, b"", ImageTooLarge, "more than 1 seconds.*IMAGE_TIMEOUT_S"),
        (work.take_memory, b"500000000", ImageTooLarge, "more memory than its size explains"),
        (work.ask_and_take_memory, b"500000000", ImageTooLarge, "476 MiB.*at most 64 MiB.*IMAGE_MAX_MEMORY_BYTES"),
        (work.die, b"%d" % signal.SIGSEGV, InvalidImage, "crashes its decoder"),
        (work.die, b"%d" % signal.SIGKILL, Unavailable, "memory ran out"),
    ],
    ids=["refused", "odd error", "endless", "memory", "memory asked for", "crash", "killed"],
)
def test_what_a_picture_does_to_its_process_is_told_and_the_next_one_is_read(
    decoders: DecoderProcesses, job: Work, data: bytes, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        decoders.run(job, data, LIMITS)
    assert decoders.run(work.count, b"four", LIMITS) == 4


def test_memory_that_was_asked_for_may_be_used(decoders: DecoderProcesses) -> None:
    assert decoders.run(work.ask_and_take_memory, b"60000000", LIMITS) == 60_000_000


def test_pictures_that_need_all_memory_are_read_one_after_the_other(decoders: DecoderProcesses, tmp_path: Path) -> None:
    mark = os.fsencode(tmp_path / "mark")
    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(decoders.run, work.hold_memory, mark, LIMITS) for _ in range(4)]
        assert len({job.result() for job in jobs}) == 4


def test_closing_ends_what_is_going_on(tmp_path: Path) -> None:
    decoders, mark = DecoderProcesses(1, 1), tmp_path / "mark"
    with ThreadPoolExecutor(1) as threads:
        endless = threads.submit(decoders.run, work.wait_for_the_end, os.fsencode(mark), ImageSettings())
        wait_until(mark.exists)
        decoders.close()
        with pytest.raises(Unavailable, match="stopping"):
            endless.result(timeout=10)
    with pytest.raises(Unavailable, match="stopping"):
        decoders.run(work.count, b"", LIMITS)


def test_memory_is_handed_out_in_the_order_of_asking() -> None:
    budget, order = MemoryBudget(10), list[str]()
    budget.acquire(6)

    def take(name: str, size: int) -> None:
        budget.acquire(size)
        order.append(name)
        budget.release(size)

    threads = []
    for name, size in (("large", 9), ("small", 1)):
        threads.append(threading.Thread(target=take, args=(name, size)))
        threads[-1].start()
        wait_until(partial(lambda count: budget.waiting == count, len(threads)))
    assert order == []  # the small one would fit, and waits for its turn
    budget.release(6)
    for thread in threads:
        thread.join(10)
    assert order == ["large", "small"]


def test_without_processes_the_same_limits_hold_for_what_is_asked_for() -> None:
    assert_alike(InThisProcess().run(decode_image, encoded(quarters()), LIMITS).image, quarters())
    reserve(LIMITS.max_memory_bytes, LIMITS)
    with pytest.raises(ImageTooLarge, match="IMAGE_MAX_MEMORY_BYTES"):
        reserve(LIMITS.max_memory_bytes + 1, LIMITS)
