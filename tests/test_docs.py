"""What the documents say of settings and files is so."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings, load_settings, variables
from tests.support.foreign_names import FOREIGN_PREFIXES

ROOT = Path(__file__).parents[1]
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ASSIGNMENT = re.compile(r"^#([A-Z][A-Z0-9_]*)=(.*)$")
CODE_SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture
def _clean_environment() -> Iterator[None]:
    saved = dict(os.environ)
    for name, _, _ in variables():
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(saved)


def example() -> dict[str, tuple[str, str]]:
    """{variable: (value, the comment above it)} of `.env.example`."""
    found: dict[str, tuple[str, str]] = {}
    comment: list[str] = []
    for line in EXAMPLE.splitlines():
        if match := ASSIGNMENT.match(line):
            found[match[1]] = (match[2], " ".join(comment))
        else:
            comment = [*comment, line.removeprefix("# ")] if line.startswith("# ") else []
    return found


def test_the_example_has_every_setting_with_its_default_and_meaning() -> None:
    expected = {
        name: (str(default), f"{description[:1].upper()}{description[1:]}.")
        for name, default, description in variables()
    }
    ours = {
        name: entry for name, entry in example().items() if name in expected or not name.startswith(FOREIGN_PREFIXES)
    }

    assert ours == expected


def test_the_example_names_each_variable_once() -> None:
    names = [match[1] for line in EXAMPLE.splitlines() if (match := ASSIGNMENT.match(line))]

    assert len(names) == len(set(names))
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"} <= set(names)


@pytest.mark.usefixtures("_clean_environment")
@pytest.mark.parametrize("uncommented", [False, True], ids=["as it stands", "every line uncommented"])
def test_a_copy_of_the_example_loads_and_changes_nothing(tmp_path: Path, uncommented: bool) -> None:
    copy = tmp_path / ".env"
    copy.write_text(re.sub(r"(?m)^#(?=[A-Z])", "", EXAMPLE) if uncommented else EXAMPLE)

    assert load_settings(copy) == Settings()


def test_the_readme_names_every_setting() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")

    assert [name for name, _, _ in variables() if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(document: Path) -> None:
    text = re.sub(r"(?s)```.*?```", "", document.read_text("utf-8"))
    targets = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link and not link.startswith("#")]

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_deployment_guide_speaks_of_settings_that_exist() -> None:
    known = {name for name, _, _ in variables()}
    spans = CODE_SPAN.findall(re.sub(r"(?s)```.*?```", "", (ROOT / "docs" / "deploy.md").read_text("utf-8")))
    named = {match[1] for span in spans if (match := re.match(r"^([A-Z]+(?:_[A-Z]+)+)(?:=.*)?$", span))}

    compose = set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "docker-compose.yml").read_text("utf-8")))
    foreign = {name for name in named if name.startswith(FOREIGN_PREFIXES)}

    assert named - known - compose - foreign == set()
    assert {"STORAGE_URL", "STORAGE_LINKS", "INDEX_KEEP_GENERATIONS"} <= named
