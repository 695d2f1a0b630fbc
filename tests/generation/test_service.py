"""Generations from the request to the picture, with the real worker process."""

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from app.errors import (
    Conflict,
    ContentRefused,
    ImageNotFound,
    InvalidInput,
    JobNotFound,
    Overloaded,
    Unavailable,
)
from app.generation.blocklist import blocking
from app.generation.jobs import Generation, Phase, PictureRequest, Result, State
from app.generation.ledger import QUEUE_PREFIX, Ledger, new_id
from app.generation.service import Generations
from app.models.generator.base import Parameters
from app.models.generator.record import parameters_of
from app.pictures.png_text import read_png_text
from app.storage.base import KEYS_ONLY
from tests.support.fake_generator import ROOT, drawn
from tests.support.generation import DEADLINE_S, QUICK, Studio, asked, run
from tests.support.pictures import encoded
from tests.support.processes import unmeasured
from tests.support.service import picture, until, wait_until


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


async def started(generations: Generations, prompt: str, caller: str = "ann", **fields: object) -> Generation:
    return await generations.start(asked(prompt, **fields), None, caller)


async def done(generations: Generations, prompt: str, **fields: object) -> Generation:
    return await generations.wait((await started(generations, prompt, **fields)).id)


async def waiting_at(studio: Studio, prompt: str) -> None:
    """Until the drawing of this prompt is in its second step, where it waits for a gate."""
    await until(lambda: any(line.startswith(prompt) and line.endswith("step 2") for line in studio.lines()))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def check_watching(generations: Generations) -> None:
    """Watchers see each step, and previews."""
    job = await started(generations, "a cat", count=2, steps=2)
    states = [now async for now in generations.watch(job.id)]
    progress = [now.progress for now in states if now.progress]
    assert progress[0].phase is Phase.LOADING
    steps = [(each.picture, each.step, each.steps) for each in progress if each.phase is Phase.DRAWING]
    assert steps[-1] == (2, 2, 2)
    assert steps == sorted(steps)
    assert any((each.preview or "").startswith("data:image/jpeg;base64,") for each in progress)
    assert [len(now.results) for now in states][-1] == 2
    assert states[-1].progress is None
    assert [now async for now in generations.watch(job.id)] == states[-1:]


def test_a_prompt_becomes_pictures_that_say_how_they_were_made(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations() as generations:
            numbers = {"negative_prompt": "blue", "steps": 2, "guidance": 3.5}
            job = await generations.start(asked("a red circle", seed=7, count=2, **numbers), None, "ann")
            assert (job.state, job.results) == (State.QUEUED, ())
            made = await generations.wait(job.id)
            assert (made.state, made.error, made.model) == (State.SUCCEEDED, None, "fake-generator")
            assert [(result.number, result.seed, result.width) for result in made.results] == [(1, 7, 32), (2, 8, 32)]
            for result in made.results:
                png = await generations.png(job.id, result.number)
                expected = Parameters("a red circle", 32, 32, 2, 3.5, result.seed, "ddim", "blue")
                assert parameters_of(read_png_text(png)) == expected
                assert read_png_text(png)["model"] == "fake-generator"
                assert Image.open(io.BytesIO(png)).tobytes() == drawn(expected).tobytes()
            again = await done(generations, "a red circle", seed=8, **numbers)
            assert await generations.png(again.id, 1) == await generations.png(job.id, 2)
            with pytest.raises(ImageNotFound, match="It has 2"):
                await generations.png(job.id, 3)
            with pytest.raises(JobNotFound):
                await generations.get("../../etc/passwd")
            await check_watching(generations)

    run(story)


def test_a_killed_worker_fails_its_job_and_the_next_one_gets_a_new_worker(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations() as generations:
            job = await started(generations, "one waits kill")
            await waiting_at(studio, "one")
            first = generations.worker_pid
            assert first is not None
            next_job = await started(generations, "two")
            os.kill(first, signal.SIGKILL)
            failed = await generations.wait(job.id)
            assert failed.state is State.FAILED
            assert "was killed, perhaps because memory ran out" in (failed.error or "")
            assert (await generations.wait(next_job.id)).state is State.SUCCEEDED
            assert generations.worker_pid not in (None, first)
            assert studio.drawn() == ["one", "two"], "a job that ended its worker is not tried again"
            os.kill(generations.worker_pid or 0, signal.SIGKILL)  # which is idle: that costs no job
            assert (await done(generations, "three")).state is State.SUCCEEDED

    run(story)


def test_errors_of_the_generator_fail_the_job_with_a_reason(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations(abilities=None) as generations:
            odd = await done(generations, "odd", width=33)
            assert "width=33 can't be drawn" in (odd.error or ""), "limits of a model that was not loaded before"
            refused = await done(generations, "it offends")
            assert (refused.state, refused.error) == (
                State.FAILED,
                "The model's safety checker rejects the picture.",
            )
            assert (odd.is_refused, refused.is_refused) == (True, True), "they would fail again"
            assert len([line for line in studio.lines() if line.startswith("loaded")]) == 1, "the model stays loaded"
            worker = generations.worker_pid
            exploded = await done(generations, "it explodes")
            assert exploded.error == "The generator failed with RuntimeError. The service's log says more."
            assert not exploded.is_refused
            swollen = await done(generations, "it swells")
            assert "ran out of memory" in (swollen.error or "")
            assert "GENERATION_OFFLOAD" in (swollen.error or "")
            assert (await done(generations, "fine")).state is State.SUCCEEDED
            assert generations.worker_pid != worker
            with pytest.raises(InvalidInput, match="width=33"):  # now it is known what the model can draw
                await started(generations, "odd", width=33)

    run(story)


def test_a_model_that_cannot_be_loaded(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations(variables={"GENERATION_MODEL": "broken"}) as generations:
            job = await done(generations, "one")
            assert (job.state, job.error) == (
                State.FAILED,
                "The model could not be loaded. The service's log says why.",
            )

    run(story)


def test_a_worker_that_cannot_be_started(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations(command=["/nowhere/python"]) as generations:
            job = await done(generations, "one")
            assert (job.state, job.error) == (
                State.FAILED,
                "The generation worker could not be started. The service's log says why.",
            )

    run(story)


def test_cancelling(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations() as generations:
            running = await started(generations, "one waits a dawdles", count=4)
            queued, last = await started(generations, "two"), await started(generations, "three")
            await waiting_at(studio, "one")
            assert (await generations.cancel(queued.id)).state is State.CANCELLED
            assert (await generations.cancel(running.id)).state is State.CANCELLED
            assert (await generations.wait(running.id)).state is State.CANCELLED
            studio.open("a")  # its step ends, and soon the drawing: the process reads of it beside the drawing
            ended = await generations.wait(last.id)
            assert ended.state is State.SUCCEEDED
            *first, then = studio.drawn()
            assert then == "three", "nothing of the second"
            assert set(first) == {"one"}
            assert len(first) < 4, "not all pictures of the first"
            assert len([line for line in studio.lines() if line.startswith("loaded")]) == 1
            assert await generations.cancel(last.id) == ended, "what is over stays as it is"
            with pytest.raises(JobNotFound):
                await generations.cancel("0" * 32)
            assert list(studio.store.list(QUEUE_PREFIX)) == []

    run(story)


def test_callers_take_turns_in_a_bounded_queue(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations(max_queue=3) as generations:
            jobs = [await started(generations, "a1 waits a", "ann")]
            await waiting_at(studio, "a1")
            jobs += [await started(generations, f"a{number}", "ann") for number in (2, 3, 4)]
            with pytest.raises(Overloaded, match="GENERATION_MAX_QUEUE=3") as refused:
                await started(generations, "a5", "ann")
            assert 1 <= refused.value.retry_after_s <= 60
            for prompt, caller in (("b1", "bob"), ("c1", "cleo"), ("d1", "dora")):
                jobs.append(await started(generations, prompt, caller))
            with pytest.raises(Overloaded):
                await started(generations, "e1", "eve")
            assert generations.status().waiting == 6
            studio.open("a")
            for job in jobs:
                assert (await generations.wait(job.id)).state is State.SUCCEEDED
            assert studio.drawn() == ["a1", "b1", "c1", "d1", "a2", "a3", "a4"]

    run(story)


def test_an_idle_model_is_unloaded(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations(idle_s=0.2) as generations:
            assert generations.worker_pid is None, "it is loaded with the first job"
            await done(generations, "one")
            worker = generations.worker_pid
            assert worker is not None
            await until(lambda: generations.worker_pid is None)
            assert not is_alive(worker)
            assert not generations.status().is_loaded

    run(story)


def test_a_stopped_service_ends_fast_and_draws_its_jobs_when_it_is_back(studio: Studio) -> None:
    async def story() -> None:
        first = encoded(picture("top.png"), "PNG")
        async with studio.generations() as generations:
            done_before = await done(generations, "zero")
            running = await generations.start(asked("one waits a", seed=5, strength=0.5), None, "ann", upload=first)
            queued = await started(generations, "two")
            await waiting_at(studio, "one")
            worker = generations.worker_pid
            began = time.monotonic()
        assert time.monotonic() - began < 3
        assert not is_alive(worker or 0)
        with pytest.raises(Unavailable):
            await started(generations, "three")
        with pytest.raises(Unavailable, match="is stopping"):
            await generations.wait(queued.id)
        studio.open("a")
        async with studio.generations(timing=replace(QUICK, lease_s=3600)) as generations:
            assert await generations.get(done_before.id) == done_before
            again, other = await generations.wait(running.id), await generations.wait(queued.id)
            assert (again.state, other.state) == (State.SUCCEEDED, State.SUCCEEDED)
            assert (again.results[0].seed, again.created_at) == (5, running.created_at)
            assert Image.open(io.BytesIO(await generations.png(again.id, 1))).size == (40, 24)
        assert studio.drawn() == ["zero", "one", "one", "two"]
        names = [info.key for info in studio.store.list("_generated/", selection=KEYS_ONLY)]
        assert not [name for name in names if "first" in name or "queue" in name]

    run(story)


SERVICE = """
import asyncio, sys
from pathlib import Path
from tests.support.generation import Studio, asked

async def main():
    studio = Studio(Path(sys.argv[1]))
    async with studio.generations() as generations:
        await generations.start(asked("one waits a", seed=5), None, "ann")
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def test_a_killed_service_takes_its_worker_along_and_its_job_is_drawn_later(studio: Studio) -> None:
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(studio.folder)], env=unmeasured(), cwd=ROOT)
    try:
        wait_until(lambda: any(line.endswith("step 2") for line in studio.lines()), DEADLINE_S)
        worker = int(studio.lines()[0].removeprefix("loaded "))
        assert os.getpgid(worker) == worker, "Ctrl-C in a terminal reaches the service alone"
        assert os.getpriority(os.PRIO_PROCESS, worker) == 19
    finally:
        service.kill()
        service.wait()
    wait_until(lambda: not is_alive(worker))

    async def story() -> None:
        studio.open("a")
        async with studio.generations() as generations:
            (entry,) = Ledger(studio.store).entries()
            assert entry.is_claimed, "by the dead service, until it has given no sign of life for a while"
            assert (await generations.wait(entry.id)).state is State.SUCCEEDED

    run(story)


def test_two_replicas_share_the_work_and_know_of_each_other(studio: Studio) -> None:
    async def story() -> None:
        patient = replace(QUICK, lease_s=3600)
        async with studio.generations(timing=patient) as one, studio.generations(timing=patient) as two:
            far = await started(one, "far waits a", "ann")
            await waiting_at(studio, "far")
            runs_it, looks_on = (one, two) if one.status().is_drawing else (two, one)
            near = await started(looks_on, "near", "bob")
            assert (await looks_on.wait(near.id)).state is State.SUCCEEDED, "the other replica is free"
            seen = [now async for now in _some(looks_on, far.id, studio)]
            assert any(now.progress and now.progress.step == 1 and now.progress.preview for now in seen)
            assert seen[-1].state is State.SUCCEEDED
            assert await looks_on.png(far.id, 1) == await runs_it.png(far.id, 1)
            assert sorted(studio.drawn()) == ["far", "near"], "each job is drawn once"
            lost = await started(one, "lost dawdles", "ann", steps=50)
            await waiting_at(studio, "lost")
            looks_on = two if one.status().is_drawing else one
            assert (await looks_on.cancel(lost.id)).state is State.CANCELLED
            await until(lambda: not one.status().is_drawing and not two.status().is_drawing)
            assert not [line for line in studio.lines() if line.startswith("lost") and line.endswith("step 50")]
            assert (await one.get(lost.id)).results == ()

    run(story)


async def _some(generations: Generations, job_id: str, studio: Studio) -> object:
    """What a watcher sees; the gate opens when it has seen a preview."""
    async for now in generations.watch(job_id):
        yield now
        if now.progress and now.progress.preview:
            studio.open("a")


def test_a_job_that_ends_every_service_is_given_up(studio: Studio) -> None:
    async def story() -> None:
        ledger = Ledger(studio.store)
        job = Generation(new_id(), asked("one"), "ann", time.time())
        ledger.add(job, None)
        for _ in range(3):  # replicas that vanish in the middle
            (entry,) = ledger.entries()
            assert ledger.claim(entry) is not None
        async with studio.generations() as generations:
            ended = await generations.wait(job.id)
            assert ended.state is State.FAILED
            assert "begun 3 times" in (ended.error or "")

    run(story)


def test_results_go_into_a_folder_at_once_or_later(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations() as generations:
            made = await done(generations, "A red Circle, on top!", seed=3, count=2, save_to_folder="/art/")
            first, second = studio.shelf.pictures
            assert (first.folder, first.name, second.name) == (
                "art",
                "a-red-circle-on-top-3.png",
                "a-red-circle-on-top-4.png",
            )
            assert (first.caption, first.tags) == ("A red Circle, on top!", ("generated", "fake-generator"))
            assert first.data == await generations.png(made.id, 1)
            assert [result.object_key for result in made.results] == [
                "art/a-red-circle-on-top-3.png",
                "art/a-red-circle-on-top-4.png",
            ]
            saved = await generations.save(made.id, "more", [2])
            assert [result.object_key for result in saved.results] == [
                "art/a-red-circle-on-top-3.png",
                "more/a-red-circle-on-top-4.png",
            ]
            assert await generations.get(made.id) == saved
            with pytest.raises(ImageNotFound):
                await generations.save(made.id, "more", [3])
            studio.shelf.error = Overloaded("The store is busy.")
            unsaved = await done(generations, "two", save_to_folder="art")
            assert unsaved.state is State.SUCCEEDED, "the picture is there all the same"
            assert (unsaved.results[0].image_id, unsaved.results[0].save_error) == (None, "Try again in a moment.")
            running = await started(generations, "three waits a")
            with pytest.raises(Conflict):
                await generations.save(running.id, "art", None)
            studio.open("a")

    run(story)


def test_old_results_are_removed(studio: Studio) -> None:
    async def story() -> None:
        day_s = 86_400
        old, young = (
            f"{int((time.time() - 8 * day_s) * 1000):012x}{'a' * 20}",
            f"{int(time.time() * 1000):012x}{'b' * 20}",
        )
        waits = f"{int((time.time() - 9 * day_s) * 1000):012x}{'c' * 20}"
        ledger = Ledger(studio.store)
        for job_id in (old, young, waits):
            job = Generation(job_id, PictureRequest("x"), "ann", time.time())
            entry = ledger.add(job, b"first")
            ledger.put_picture(job_id, 1, b"png")
            if job_id == waits:
                assert ledger.claim(entry) is not None
            else:
                ledger.end(job.ended(State.SUCCEEDED, time.time()))
        async with studio.generations(timing=replace(QUICK, lease_s=3600)) as generations:
            await until(lambda: not list(studio.store.list(f"_generated/{old}")))
            assert (await generations.get(young)).state is State.SUCCEEDED
            assert (await generations.get(waits)).state is State.RUNNING, "it is not over"
            with pytest.raises(JobNotFound, match="GENERATION_KEEP_DAYS"):
                await generations.get(old)

    run(story)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (asked("x" * 21), "21 characters; at most 20 are allowed (GENERATION_MAX_PROMPT_CHARS)"),
        (asked("x", negative_prompt="x" * 21), "negative prompt has 21 characters"),
        (asked("x", steps=6), "6 steps are too many; at most 5 are allowed (GENERATION_MAX_STEPS)"),
        (asked("x", count=3), "at most 2 are allowed (GENERATION_MAX_COUNT)"),
        (
            asked("x", width=64, height=40),
            "64 x 40 has 2,560 pixels; at most 2,500 are allowed (GENERATION_MAX_PIXELS)",
        ),
        (asked("x", width=20), "in multiples of 8"),
        (asked("x", scheduler="best"), "It has ddim, euler."),
        (asked(" \n "), "prompt is empty"),
    ],
)
def test_limits_are_named_before_a_job_is_accepted(studio: Studio, request_: PictureRequest, message: str) -> None:
    limits = {"max_prompt_chars": 20, "max_steps": 5, "max_count": 2, "max_pixels": 2500}

    async def story() -> None:
        async with studio.generations(**limits) as generations:
            with pytest.raises(InvalidInput) as refused:
                await generations.start(request_, None, "ann")
            assert message in str(refused.value)
            assert list(studio.store.list("_generated/")) == []

    run(story)


def test_blocked_prompts_are_refused(studio: Studio) -> None:
    async def story() -> None:
        async with studio.generations(screen=blocking(["dragon"])) as generations:
            with pytest.raises(ContentRefused, match="'dragon'"):
                await started(generations, "a Dragon on a hill")

    run(story)


def test_a_service_without_a_model_keeps_what_it_has(studio: Studio) -> None:
    async def story() -> None:
        ledger, job = Ledger(studio.store), Generation(new_id(), asked("one"), "ann", time.time())
        ledger.add(job, None)
        ledger.put_picture(job.id, 1, b"\x89PNG")
        made = ledger.end(replace(job, results=(Result(1, 7, 8, 8, 4),)).ended(State.SUCCEEDED, 1))
        async with studio.generations(model="") as generations:
            assert generations.model_name is None
            assert await generations.get(made.id) == made
            assert (await generations.png(made.id, 1)).startswith(b"\x89PNG")

    run(story)


def test_the_models_name(tmp_path: Path) -> None:
    async def name_of(model: str) -> str | None:
        async with Studio(tmp_path).generations(model=model) as generations:
            return generations.model_name

    async def story() -> None:
        (tmp_path / "my-model").mkdir()
        assert await name_of("demo") == "demo-generator"  # as each job says
        assert await name_of("stabilityai/sd-turbo") == "stabilityai/sd-turbo"
        assert await name_of(str(tmp_path / "my-model")) == "my-model"

    run(story)
