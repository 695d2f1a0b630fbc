"""What Ray's workers do, called here without Ray: reading in two sizes, embedding and describing, describing alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import ModelUnavailable
from app.ingest.captioning import Caption, NoCaption
from app.ingest.reading import Content
from app.models.captioner.base import Captioner
from app.settings import CaptionSettings
from app.storage.local import LocalStore
from app.types import hash_content
from indexer.ray.workers import (
    BatchResult,
    CaptionStage,
    Claims,
    EmbedStage,
    ObjectResult,
    ReadStage,
    WorkerParts,
    pack,
    unpack,
)
from tests.indexer.picture_collection import png, some_settings
from tests.indexer.ray.faults import Faults, FaultyParts
from tests.support.captions import NAME, SQUARE


def claim_all(contents: Sequence[tuple[str, str]]) -> list[bool]:
    return [True] * len(contents)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "bucket").mkdir()
    store = LocalStore(tmp_path / "bucket")
    for seed in range(4):
        store.put(f"{seed}.png", png(seed))
    return store


@pytest.fixture
def parts(tmp_path: Path) -> FaultyParts:
    return FaultyParts(some_settings(f"file://{tmp_path}/bucket"), Faults(tmp_path, describes=True))


def read(parts: FaultyParts, store: LocalStore) -> dict[str, np.ndarray]:
    stage = ReadStage(parts, parts.picture_reader(), claim_all, SQUARE)
    return stage(pack(sorted(store.list(), key=lambda info: info.key)))


def worked(stage: EmbedStage | CaptionStage, batch: dict[str, np.ndarray]) -> dict[str, ObjectResult]:
    (result,) = unpack(stage(batch))
    assert isinstance(result, BatchResult)
    if result.error:
        raise result.error
    return {each.outcome.info.key: each for each in result.objects if isinstance(each.outcome, Content)}


def test_pictures_are_described_after_they_are_embedded_where_they_want_it(
    parts: FaultyParts, store: LocalStore
) -> None:
    """One has a person's words, one has this captioner's, one had them for another content."""
    settled = {"0.png": "", "1.png": hash_content(png(1)), "2.png": "another content"}
    claims = Claims(frozenset(), 5, settled)
    found = worked(EmbedStage(parts, claims.begin, claims.wants_captions), read(parts, store))
    assert all(each.vector is not None for each in found.values())
    assert [found[f"{seed}.png"].said for seed in (0, 1)] == [None, None]
    said = [found[f"{seed}.png"].said for seed in (2, 3)]
    assert all(isinstance(each, Caption) and each.by == NAME and each.text.endswith("24x24") for each in said)


def test_vectors_are_the_same_without_a_captioner(parts: FaultyParts, store: LocalStore) -> None:
    plain = replace(parts, faults=replace(parts.faults, describes=False))
    batches = ReadStage(plain, plain.picture_reader(), claim_all)(pack(sorted(store.list(), key=lambda info: info.key)))
    without = worked(EmbedStage(plain, lambda key: True, claim_all), batches)
    found = worked(EmbedStage(parts, lambda key: True, claim_all), read(parts, store))
    for key, each in without.items():
        assert each.said is None
        np.testing.assert_array_equal(each.vector, found[key].vector)


def test_pictures_are_described_alone(parts: FaultyParts, store: LocalStore) -> None:
    batch = ReadStage(parts, SQUARE, claim_all)(pack(sorted(store.list(), key=lambda info: info.key)))
    found = worked(CaptionStage(parts, lambda key: True), batch)
    texts = [each.said.text for each in found.values() if isinstance(each.said, Caption)]
    assert len(texts) == len(set(texts)) == 4
    refusing = replace(parts, faults=replace(parts.faults, refuses_to_describe=texts[1]))
    found = worked(CaptionStage(refusing, lambda key: True), batch)
    assert [type(each.said) for each in found.values()] == [Caption, NoCaption, Caption, Caption]
    assert all(each.vector is None for each in found.values())


def test_a_captioner_that_can_not_be_loaded_is_the_result(parts: FaultyParts, store: LocalStore) -> None:
    class Broken(FaultyParts):
        def load_captioner(self) -> Captioner | None:
            raise ModelUnavailable("The captioner can't be used.")

    broken = Broken(parts.settings, parts.faults)
    for stage in (EmbedStage(broken, lambda key: True, claim_all), CaptionStage(broken, lambda key: True)):
        with pytest.raises(ModelUnavailable, match="captioner can't be used"):
            worked(stage, read(parts, store))


def test_the_captioner_of_a_relative_folder_is_found_by_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "captioner").mkdir()
    monkeypatch.chdir(tmp_path)

    def named(name: str) -> str:
        settings = some_settings().model_copy(update={"caption": CaptionSettings(model=name)})
        return WorkerParts.of(settings).settings.caption.model

    assert named("captioner") == str(tmp_path / "captioner")
    assert [named(name) for name in ("", "demo", "microsoft/git-base")] == ["", "demo", "microsoft/git-base"]
