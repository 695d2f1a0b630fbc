"""Which stores the settings make: the index with the pictures, or elsewhere (`INDEX_URL`)."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.bootstrap import Parts, build, check_index
from app.cli.search import search_once
from app.cli.serving import run_service
from app.encoder.encoder import Text
from app.errors import (
    IndexMismatch,
    IndexNotReady,
    InvalidSettings,
    ModelUnavailable,
    ObjectNotFound,
    ShrinkRefused,
    StorageUnavailable,
)
from app.indexing.messages import Report
from app.library.thumbnails import thumbnail_key
from app.models.checkpoint import Checkpoint
from app.models.openvino.conversion import Converter
from app.pictures.processes import InThisProcess
from app.search.query import Query
from app.settings import ImageSettings, IndexSettings, ModelSettings, Settings, StorageSettings
from app.storage.base import KEYS_ONLY
from indexer.plan import Options
from indexer.progress import SilentProgress
from indexer.ray.workers import WorkerParts
from indexer.run import run_index
from tests.support.service import FakeEmbedder, encoded, loaded, picture, serving_parts
from tests.support.stores import store_at
from tests.support.tiny_models import tiny_clip

__all__ = ["tiny_clip"]

KEYS = ("a.jpg", "nature/b.jpg")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for key in KEYS:
        path = tmp_path / "library" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(key), "JPEG"))
    return tmp_path / "library"


@pytest.fixture(params=["file", "s3"])
def index_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('bucket')}/of/library"
    (tmp_path / "index").mkdir()
    return f"file://{tmp_path}/index"


def settings_for(library: Path, index_url: str) -> Settings:
    return Settings(
        storage=StorageSettings(url=f"file://{library}"),
        index=IndexSettings(url=index_url, poll_s=0.1),
        model=ModelSettings(cache=library.parent / "models"),
        image=ImageSettings(),
    )


def parts_of(settings: Settings) -> Parts:
    return replace(build(settings), model=loaded(FakeEmbedder()), decoders=InThisProcess())


def run(settings: Settings) -> Report:
    return run_index(parts_of(settings), Options(), SilentProgress())


def test_index_and_thumbnails_elsewhere_leave_the_library_as_it_is(library: Path, index_url: str) -> None:
    settings = settings_for(library, index_url)
    before = sorted(library.rglob("*"))
    assert run(settings).added == 2
    assert run(settings).unchanged == 2
    with serving_parts(parts_of(settings)) as client:
        hits = client.post("/api/v1/search/text", json={"query": "x", "k": 5}).json()["results"]
        assert {hit["s3_path"] for hit in hits} == {f"file://{library}/{key}" for key in KEYS}
        for hit in hits:
            assert client.get(hit["thumbnail_url"]).status_code == 200
            assert client.get(hit["image_url"]).content == (library / hit["object_key"]).read_bytes()
    assert sorted(library.rglob("*")) == before
    kept = [info.key for info in store_at(index_url).list(selection=KEYS_ONLY)]
    assert {thumbnail_key(hit["image_id"]) for hit in hits} <= set(kept)
    assert "_index/current.json" in kept


def test_etags_of_a_read_only_library_are_remembered_elsewhere(library: Path, index_url: str) -> None:
    settings = settings_for(library, index_url)
    (library.parent / "models").mkdir()
    run(settings)
    assert len([path for path in library.parent.rglob("etags-*.sqlite3") if library not in path.parents]) == 1


def test_without_it_the_index_lies_with_the_pictures(library: Path) -> None:
    settings = settings_for(library, "")
    assert run(settings).added == 2
    assert (library / "_index/current.json").exists()
    parts = build(settings)
    assert parts.index_store is parts.store


def test_an_index_folder_that_is_missing_is_named_with_its_setting(library: Path) -> None:
    settings = settings_for(library, f"file://{library.parent}/nowhere")
    with pytest.raises(StorageUnavailable, match=r"nowhere does not exist.*INDEX_URL"):
        run(settings)
    with pytest.raises(InvalidSettings, match="INDEX_URL=http://x"):
        build(settings_for(library, "http://x"))
    with pytest.raises(InvalidSettings, match="INDEX_URL=file://"):
        build(settings_for(library, "file://"))


def test_an_emptied_library_whose_index_lies_elsewhere_is_refused(library: Path, index_url: str) -> None:
    settings = settings_for(library, index_url)
    run(settings)
    for key in KEYS:
        (library / key).unlink()
    with pytest.raises(ShrinkRefused, match="2 of the 2"):
        run(settings)


def test_workers_read_the_pictures_where_they_are(library: Path, index_url: str) -> None:
    store = WorkerParts.of(settings_for(library, index_url)).open_store()
    assert store.get("a.jpg").data == (library / "a.jpg").read_bytes()
    with pytest.raises(ObjectNotFound):
        store.get("_index/current.json")


def test_an_index_of_another_model_is_refused_before_the_model_is_converted(
    library: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*_: object) -> None:
        raise AssertionError("converted")

    settings = settings_for(library, "")
    with pytest.raises(IndexNotReady, match="image2search index"):
        check_index(build(settings))
    run(settings)
    monkeypatch.setattr(Converter, "find_or_convert", convert)
    real = settings.model_copy(update={"model": settings.model.model_copy(update={"name": str(tiny_clip)})})
    fingerprint = Checkpoint("tiny", tiny_clip).fingerprint()
    sentence = rf"made by fake/model .*MODEL names {tiny_clip.name} \({fingerprint}\).*--rebuild"
    with pytest.raises(IndexMismatch, match=sentence):
        check_index(build(real))
    with pytest.raises(IndexMismatch, match=sentence):
        search_once(real, Query.of(Text("a cat"), k=1))
    with pytest.raises(IndexMismatch, match=sentence):
        run_index(build(real), Options(), SilentProgress())


def test_a_service_says_at_once_that_another_model_made_the_index(
    library: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []

    def convert(*_: object) -> None:
        said.append(caplog.text)
        raise ModelUnavailable("this test converts nothing")

    settings = settings_for(library, "")
    run(settings)
    monkeypatch.setattr(Converter, "find_or_convert", convert)
    server = settings.server.model_copy(update={"port": 0})
    model = settings.model.model_copy(update={"name": str(tiny_clip)})
    with pytest.raises(ModelUnavailable, match="converts nothing"):
        run_service(settings.model_copy(update={"model": model, "server": server}), lambda address: None)
    assert "Searches will be refused. The index was made by" in said[0]
