"""Without PyTorch, transformers and NNCF a converted model runs; any other says what to install, before any work."""

import shutil
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from app.bootstrap import build, picture_reader
from app.errors import ModelUnavailable
from app.models.checkpoint import DEMO_FOLDER, find_checkpoint
from app.models.choose import load_embedder
from app.models.extra import PackageMissing, check_installed
from app.models.hardware import has_cuda
from app.settings import ImageSettings, ModelSettings, Settings
from scripts.convert_model import convert
from scripts.needs_models import needs_models
from tests.support.pictures import encoded, smooth

INSTALL = r"Install with `pip install 'image2search\[models\]'` \(`make models` in a checkout\), or set "


@pytest.fixture
def _without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "transformers", "nncf"):
        monkeypatch.setitem(sys.modules, package, None)


@pytest.fixture
def settings(tmp_path: Path) -> ModelSettings:
    """Of the demo model, with nothing converted in the cache."""
    return ModelSettings(name="demo", precision="auto", cache=tmp_path / "cache")


def of(settings: ModelSettings, **changed: Any) -> ModelSettings:
    return settings.model_copy(update={name: str(value) for name, value in changed.items()})


@pytest.mark.usefixtures("_without_extra")
def test_the_demo_model_runs(settings: ModelSettings) -> None:
    check_installed(settings)
    embedder = load_embedder(settings)
    assert embedder.encode_texts(["a red car"]).shape == (1, embedder.identity.dimension)
    assert embedder.identity.fingerprint == find_checkpoint(settings).fingerprint()
    assert (settings.cache / "openvino" / embedder.identity.fingerprint / "text.xml").is_file()


@pytest.mark.usefixtures("_without_extra")
def test_a_reader_of_pictures_comes_from_the_shipped_form(settings: ModelSettings) -> None:
    read = picture_reader(settings)
    assert read(encoded(smooth(300, 200)), ImageSettings()).width == 300
    assert not settings.cache.exists()


@pytest.mark.usefixtures("_without_extra")
def test_a_model_in_its_original_form_says_what_to_install(settings: ModelSettings, tiny_clip: Path) -> None:
    message = (
        rf"MODEL={tiny_clip}, which is not converted to OpenVINO yet, needs PyTorch and transformers, not installed"
    )
    for refuse in (check_installed, load_embedder):
        with pytest.raises(PackageMissing, match=rf"^{message} here\. {INSTALL}MODEL=demo\.$"):
            refuse(of(settings, name=tiny_clip))


@pytest.mark.usefixtures("_without_extra")
def test_nothing_is_built_for_a_model_that_cannot_run(settings: ModelSettings, tiny_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageMissing, match="PyTorch and transformers"):
        build(Settings(model=of(settings, name=tiny_clip)))
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("_without_extra")
def test_a_model_of_the_hub_is_not_downloaded_to_be_refused(
    settings: ModelSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    fetch = huggingface_hub.snapshot_download

    def note(name: str, **options: Any) -> str:
        asked.append(options["local_files_only"])
        return fetch(name, **options, cache_dir=tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", note)
    with pytest.raises(PackageMissing, match=r"^MODEL=openai/clip-vit-base-patch32, which .* needs PyTorch"):
        check_installed(of(settings, name="openai/clip-vit-base-patch32"))
    assert asked == [True]


@pytest.mark.usefixtures("_without_extra")
def test_a_folder_that_is_not_there_is_what_is_wrong(settings: ModelSettings) -> None:
    with pytest.raises(ModelUnavailable, match="is no folder on this machine"):
        check_installed(of(settings, name="./no-such-folder"))


@pytest.mark.usefixtures("_without_extra")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"runtime": "torch"}, rf"MODEL_RUNTIME=torch needs PyTorch and transformers, .*{INSTALL}MODEL_RUNTIME=auto"),
        ({"device": "cuda"}, rf"MODEL_DEVICE=cuda needs PyTorch and transformers, .*{INSTALL}MODEL_DEVICE=auto"),
        ({"precision": "int8"}, rf"PRECISION=int8, which .* needs NNCF, .*{INSTALL}PRECISION=auto"),
    ],
)
def test_a_setting_that_needs_the_extra_says_so(changed: dict[str, Any], message: str, settings: ModelSettings) -> None:
    with pytest.raises(PackageMissing, match=rf"^{message}\.$"):
        check_installed(of(settings, **changed))


@pytest.mark.usefixtures("_without_extra")
def test_a_gpu_that_nothing_can_use_is_left_alone(
    settings: ModelSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("app.models.hardware.AMD_DRIVER", tmp_path)
    assert not has_cuda()
    check_installed(settings)


@pytest.mark.usefixtures("_without_extra")
def test_a_model_that_another_machine_has_converted_runs(
    settings: ModelSettings, tiny_clip: Path, converted_cache: Path, tmp_path: Path
) -> None:
    cache = shutil.copytree(converted_cache, tmp_path / "cache")
    there = of(settings, name=tiny_clip).model_copy(update={"cache": cache})
    check_installed(there)
    assert load_embedder(there).encode_texts(["a dog"]).shape == (1, 16)
    (weights,) = cache.glob("openvino/*/text.bin")
    weights.write_bytes(b"")
    with pytest.raises(PackageMissing, match=rf"^The model tiny-clip in its original form needs PyTorch .*{INSTALL}"):
        load_embedder(there)


def test_a_model_of_ones_own_can_be_shipped_converted(
    settings: ModelSettings, tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shutil.copytree(tiny_clip, tmp_path / "own")
    before = find_checkpoint(of(settings, name=own)).fingerprint()
    assert convert(own) == own / "openvino"
    for package in ("torch", "transformers", "nncf"):
        monkeypatch.setitem(sys.modules, package, None)
    embedder = load_embedder(of(settings, name=own))
    assert embedder.identity.fingerprint == before
    (own / "added_tokens.json").write_text("{}")
    with pytest.raises(PackageMissing, match="is not converted to OpenVINO yet"):
        check_installed(of(settings, name=own))


def test_make_installs_the_extra_where_the_settings_need_it(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL", "MODEL_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))  # and back to what it was before at the end
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_text(f"MODEL={tiny_clip}\n")
    assert not needs_models()
    monkeypatch.delenv("MODEL")
    request.getfixturevalue("_without_extra")
    assert needs_models()
    monkeypatch.setenv("MODEL", str(DEMO_FOLDER))
    assert not needs_models()
    monkeypatch.setenv("MODEL", "./no-such-folder")
    assert not needs_models()
