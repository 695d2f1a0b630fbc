"""What the documents say of settings and files is so."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from app.settings import Settings, load_settings, variables
from tests.support.foreign_names import FOREIGN_PREFIXES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ASSIGNMENT = re.compile(r"^#([A-Z][A-Z0-9_]*)=(.*)$")
CODE_SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


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


@pytest.mark.usefixtures("clean_environment")
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


def test_the_licence_is_apache_2_word_for_word() -> None:
    text = (ROOT / "LICENSE").read_bytes()

    assert hashlib.sha256(text).hexdigest() == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert PROJECT["license"] == "Apache-2.0"
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])


def test_the_notices_name_the_packages_that_are_installed_and_their_licences() -> None:
    section = (ROOT / "THIRD_PARTY_NOTICES.md").read_text("utf-8").partition("## Packages")[2].partition("\n## ")[0]
    rows = re.findall(
        r"^\| (?:`(\w+)` \| )?(?!package|extra|-)([\w, -]+?)(?: \(.*?\))? \| .*\w.* \|$", section, re.MULTILINE
    )
    extras = PROJECT["optional-dependencies"].items()
    needed = {("", each) for each in PROJECT["dependencies"]} | {
        (extra, each) for extra, listed in extras if extra not in ("dev", "bench") for each in listed
    }
    names = {(extra, re.split(r"[\[<>=]", each)[0]) for extra, each in needed}

    assert {(extra, name) for extra, listed in rows for name in listed.split(", ")} == {
        (extra, name) for extra, name in names if name != PROJECT["name"]
    }
