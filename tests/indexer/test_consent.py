"""Whether a run warns and asks before the demo model embeds pictures that it does not know."""

import os
import pty
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.errors import AppError
from app.indexing.messages import Report
from app.models.calibration import SAMPLES
from app.settings import ModelSettings
from indexer.plan import Options
from indexer.progress import SilentProgress
from indexer.run import run_index
from tests.indexer.picture_collection import Collection, png

SAMPLE = SAMPLES / "animals" / "cat-on-grass.jpg"


@dataclass
class Person:
    """Reads warnings and answers questions."""

    agrees: bool = True
    warnings: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    def __call__(self, warning: str, question: str | None) -> bool:
        self.warnings.append(warning)
        if question is not None:
            self.questions.append(question)
        return self.agrees


def run(collection: Collection, person: Person, **options: bool) -> Report:
    return run_index(collection.parts(), Options(**options), SilentProgress(), consent=person)


def test_samples_alone_need_no_warning(collection: Collection) -> None:
    collection.store.put("animals/cat-on-grass.jpg", SAMPLE.read_bytes())
    person = Person()
    assert run(collection, person).added == 1
    assert person.warnings == []


def test_the_warning_counts_what_is_not_a_sample_and_names_two_models(collection: Collection) -> None:
    collection.store.put("cat-on-grass.jpg", SAMPLE.read_bytes())
    for seed in range(3):
        collection.put(f"{seed}.png", seed)
    person = Person()
    assert run(collection, person).added == 4
    (warning,) = person.warnings
    assert "does not know 3 of the pictures" in warning
    assert warning.count("MODEL=") == 2
    assert "fast: " in warning
    assert "good: " in warning
    assert "GB" in warning
    assert max(map(len, warning.splitlines())) < 80
    assert len(person.questions) == 1


def test_a_picture_with_the_name_of_a_sample_is_no_sample(collection: Collection) -> None:
    collection.put("cat-on-grass.jpg", 1)
    person = Person()
    run(collection, person)
    assert len(person.warnings) == 1


def test_a_person_who_declines_keeps_the_place_as_it_is(collection: Collection) -> None:
    collection.put("a.png", 1)
    with pytest.raises(AppError, match=r"Nothing was indexed\. Set MODEL"):
        run(collection, Person(agrees=False))
    assert collection.catalog().load() is None
    assert collection.embedder.embedded == 0


def test_later_runs_warn_of_new_pictures_and_do_not_ask(collection: Collection) -> None:
    collection.put("a.png", 1)
    run(collection, Person())
    person = Person()
    run(collection, person)
    assert person.warnings == []
    collection.put("b.png", 2)
    run(collection, person)
    assert (len(person.warnings), person.questions) == (1, [])
    run(collection, person, rebuild=True)
    assert (len(person.warnings), len(person.questions)) == (2, 1)


def test_other_models_are_not_warned_of(collection: Collection, model_folder: Path) -> None:
    collection.settings = collection.settings.model_copy(update={"model": ModelSettings(name=str(model_folder))})
    collection.put("a.png", 1)
    person = Person()
    run(collection, person)
    assert person.warnings == []


@dataclass
class Terminal:
    """What a person sees of a run in a folder with one picture, and how it ends."""

    folder: Path

    def index(self, answer: bytes, *options: str) -> tuple[str, int]:
        """The person answers the first question. Exit codes are as of a shell."""
        (self.folder / "pictures").mkdir(exist_ok=True)
        (self.folder / "pictures" / "a.png").write_bytes(png(1))
        environment = {**os.environ, "STORAGE_URL": "pictures", "MODEL": "demo", "TERM": "dumb"}
        person, program = pty.openpty()
        command = [sys.executable, "-m", "indexer", *options]
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=program, stdout=program, stderr=program,
            start_new_session=True,
        )  # fmt: skip
        os.close(program)
        seen = b""
        while chunk := _read(person):
            seen += chunk
            if b"[y/N]" in seen and answer:
                os.write(person, answer)
                answer = b""
        os.close(person)
        return seen.decode(), process.wait()


def _read(terminal: int) -> bytes:
    """Empty when the program has closed it."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def test_a_person_at_a_terminal_is_asked(tmp_path: Path) -> None:
    end_of_file = b"\x04"
    seen, code = Terminal(tmp_path).index(end_of_file)
    assert code == 1
    assert seen.index("the demo model knows drawings") < seen.index("[y/N]") < seen.index("Error: Nothing was indexed")


def test_yes_is_not_asked(tmp_path: Path) -> None:
    seen, code = Terminal(tmp_path).index(b"", "--yes")
    assert code == 0
    assert "the demo model knows drawings" in seen
    assert "[y/N]" not in seen
