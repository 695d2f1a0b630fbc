"""The command line over real settings, storage (a folder and S3) and a real, tiny model."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from app.bootstrap import open_store
from app.catalog.changes import Changes
from app.catalog.lock import IndexLock
from app.settings import IndexSettings, StorageSettings
from app.storage.base import ObjectStore
from indexer.cli import make_app
from tests.indexer.picture_collection import png
from tests.support.catalogs import catalog_on

STORES = ("file", "s3")


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('bucket')}/photos"
    return f"file://{tmp_path}/bucket"


@pytest.fixture
def folder_url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model_folder: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bucket").mkdir()
    monkeypatch.setenv("STORAGE_URL", f"file://{tmp_path}/bucket")
    monkeypatch.setenv("MODEL", str(model_folder))


def opened(url: str) -> ObjectStore:
    return open_store(StorageSettings(url=url))


def run(*options: str) -> Result:
    return CliRunner().invoke(make_app(), options)


def report_of(*options: str) -> dict[str, Any]:
    """The JSON report on stdout of a run that went well."""
    result = run(*options)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def counts(report: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(report[name] for name in names)


def test_details_that_an_earlier_version_did_not_read_are_read_on_demand(folder_url: str) -> None:
    store = opened(folder_url)
    store.put("a.png", png(1))
    report_of()
    catalog = catalog_on(store)
    snapshot = catalog.load()
    assert snapshot is not None
    ((row, record),) = snapshot.records.items()
    bare = Changes(added=(replace(record, perceptual_hash=None),), vectors=snapshot.vectors.get([row]))
    catalog.publish(bare, snapshot.pointer.model)
    assert [report_of(*options)["reused"] for options in ((), ("--details",), ("--details",))] == [0, 1, 0]
    assert (catalog.load() or snapshot).records[row] == record


def test_from_first_run_to_last_on_every_store(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_URL", url)
    store = opened(url)
    for seed in range(6):
        store.put(f"nature/{seed}.png", png(seed))
    store.put("nature/broken.jpg", b"\xff\xd8\xff no jpeg")

    first = report_of()
    assert counts(first, "seen", "added", "embedded", "failed") == (7, 6, 6, [])
    assert [skip["key"] for skip in first["skipped"]] == ["nature/broken.jpg"]
    assert first["skipped"][0]["reason"]

    second = report_of()
    assert counts(second, "seen", "unchanged", "added", "embedded") == (7, 6, 0, 0)
    assert second["skipped"] == first["skipped"]
    assert second["generation"] == first["generation"]

    store.put("nature/0.png", png(50))
    store.delete("nature/1.png")
    store.delete("nature/2.png")
    store.put("animals/moved.png", png(2))
    store.put("nature/broken.jpg", png(60))
    third = report_of()
    assert counts(third, "added", "changed", "removed", "unchanged") == (2, 1, 2, 3)
    assert counts(third, "moved", "reused", "embedded", "skipped") == (1, 1, 2, [])

    snapshot = catalog_on(store, IndexSettings()).load()
    assert snapshot is not None
    assert {record.object_key for record in snapshot.records.values()} == {
        "nature/0.png",
        "nature/3.png",
        "nature/4.png",
        "nature/5.png",
        "nature/broken.jpg",
        "animals/moved.png",
    }
    assert report_of("--rebuild")["embedded"] == 6


def test_json_progress_is_one_object_a_line_and_ends_with_the_report(folder_url: str) -> None:
    for seed in range(3):
        opened(folder_url).put(f"{seed}.png", png(seed))
    result = run("--progress", "json")
    assert result.exit_code == 0
    lines = [orjson.loads(line) for line in result.stdout.splitlines()]
    assert {"phase": "listing", "done": 3, "total": None} in lines
    assert {"phase": "indexing", "done": 0, "total": 3} in lines
    assert {"phase": "indexing", "done": 3, "total": 3} in lines
    assert lines[-2]["phase"] == "publishing"
    assert lines[-1]["report"]["added"] == 3


def test_the_report_goes_to_a_file_and_the_summary_to_people(folder_url: str, tmp_path: Path) -> None:
    opened(folder_url).put("a.png", png(1))
    opened(folder_url).put("broken.png", b"rubbish")
    result = run("--report", str(tmp_path / "report.json"))
    assert result.exit_code == 0
    assert json.loads((tmp_path / "report.json").read_text())["added"] == 1
    assert result.stdout == ""
    assert "1 added" in result.stderr
    assert "skipped broken.png: " in result.stderr


def test_a_report_that_cannot_be_written_is_said_before_the_run(folder_url: str, tmp_path: Path) -> None:
    opened(folder_url).put("a.png", png(1))
    result = run("--report", str(tmp_path / "no" / "such" / "report.json"))
    assert result.exit_code == 1
    assert "report.json" in result.stderr
    assert catalog_on(opened(folder_url), IndexSettings()).load() is None


@pytest.mark.parametrize("report", ["", "."])
def test_a_report_into_a_folder_is_refused_before_the_run(folder_url: str, report: str) -> None:
    opened(folder_url).put("a.png", png(1))
    result = run("--report", report)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The report can't be written")
    assert catalog_on(opened(folder_url), IndexSettings()).load() is None


def test_a_report_that_exists_is_kept_until_the_next_is_there(folder_url: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("earlier")
    with IndexLock(opened(folder_url), ttl_s=1):
        assert run("--report", str(tmp_path / "report.json")).exit_code == 1
    assert (tmp_path / "report.json").read_text() == "earlier"


@pytest.mark.parametrize("mode", ["log", "json"])
def test_a_disk_that_is_full_at_the_end_is_one_sentence(folder_url: str, mode: str) -> None:
    opened(folder_url).put("a.png", png(1))
    result = run("--report", "/dev/full", "--progress", mode)
    assert result.exit_code == 1
    assert "the report could not be written to /dev/full (No space left on device)" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    snapshot = catalog_on(opened(folder_url), IndexSettings()).load()
    assert snapshot is not None
    assert len(snapshot.records) == 1


def test_a_terminal_gets_a_bar_and_a_summary(folder_url: str) -> None:
    for seed in range(3):
        opened(folder_url).put(f"{seed}.png", png(seed))
    result = run("--progress", "bar", "--report", "-")
    assert result.exit_code == 0
    assert "indexing" in result.stderr
    assert "3/3" in result.stderr
    assert "/s" in result.stderr
    assert json.loads(result.stdout)["added"] == 3


def test_no_progress_when_none_is_wanted(folder_url: str) -> None:
    opened(folder_url).put("a.png", png(1))
    result = run("--progress", "none")
    assert result.exit_code == 0
    assert len(result.stderr.splitlines()) == 1


def test_settings_are_read_from_the_env_file(folder_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_URL")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".env").write_text(f"STORAGE_URL=file://{tmp_path}/elsewhere\n")
    opened(f"file://{tmp_path}/elsewhere").put("a.png", png(1))
    try:
        assert report_of()["added"] == 1
    finally:
        monkeypatch.setenv("STORAGE_URL", "")  # What the run put there from the file goes with the test.


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"MODEL": "/no/such/model"}, "/no/such/model"),
        ({"STORAGE_URL": "ftp://somewhere"}, "ftp://somewhere"),
        ({"INDEX_BATCH_SIZE": "many"}, "INDEX_BATCH_SIZE"),
        (
            {
                "STORAGE_URL": "s3://bucket",
                "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
                "STORAGE_MAX_ATTEMPTS": "1",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
            "127.0.0.1:9",
        ),
    ],
    ids=["model", "scheme", "setting", "storage down"],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_1(
    variables: dict[str, str], words: str, folder_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(folder_url).put("a.png", png(1))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = run()
    assert result.exit_code == 1
    assert words in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_a_shrunken_listing_is_refused_until_insisted(folder_url: str) -> None:
    store = opened(folder_url)
    for seed in range(3):
        store.put(f"{seed}.png", png(seed))
    report_of()
    for seed in range(3):
        store.delete(f"{seed}.png")
    refused = run()
    assert refused.exit_code == 1
    assert "--allow-shrink" in refused.stderr
    assert report_of("--allow-shrink")["removed"] == 3


def test_a_lock_that_is_held_is_exit_code_1_for_a_program_too(folder_url: str) -> None:
    opened(folder_url).put("a.png", png(1))
    with IndexLock(opened(folder_url), ttl_s=1):
        result = run("--progress", "json")
    assert result.exit_code == 1
    last = orjson.loads(result.stdout.splitlines()[-1])
    assert last["error"]["type"] == "IndexBusy"
    assert last["error"]["message"] == result.stderr.splitlines()[-1]


def test_a_schedule_that_is_none_is_refused_before_anything_runs(folder_url: str) -> None:
    opened(folder_url).put("a.png", png(1))
    result = run("--watch", "whenever")
    assert result.exit_code == 1
    assert "whenever" in result.stderr
    assert catalog_on(opened(folder_url), IndexSettings()).load() is None


def test_help_names_every_option() -> None:
    help_text = run("--help").output
    for option in ("--rebuild", "--allow-shrink", "--retry-skipped", "--details", "--watch", "--report", "--progress"):
        assert option in help_text


def test_importing_the_command_loads_no_model_library() -> None:
    import subprocess

    code = (
        "import sys, indexer.cli; print([name for name in ('torch', 'transformers', 'faiss') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
