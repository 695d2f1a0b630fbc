"""A model's files are found or refused with the reason, and its fingerprint depends on their contents alone."""

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from app.errors import ModelUnavailable
from app.models import checkpoint
from app.models.checkpoint import Checkpoint, find_checkpoint
from app.models.choose import load_embedder
from app.settings import ModelSettings
from tests.support.tiny_models import Build, build_tiny_blip2, build_tiny_clip, build_tiny_flava

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def copy(tiny_clip: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_clip, tmp_path / "copy")


def edit(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def fingerprint(folder: Path) -> str:
    return Checkpoint("any", folder).fingerprint()


def test_a_moved_and_renamed_model_keeps_its_fingerprint(tiny_clip: Path, copy: Path) -> None:
    assert fingerprint(copy) == fingerprint(tiny_clip)
    assert len(fingerprint(copy)) == 32


def test_what_only_describes_a_model_does_not_count(tiny_clip: Path, copy: Path) -> None:
    edit(copy / "config.json", _name_or_path="/elsewhere", transformers_version="0", image2search={"notice": "hello"})
    edit(copy / "tokenizer_config.json", name_or_path="elsewhere", is_local=False)
    (copy / "README.md").write_text("words")
    assert fingerprint(copy) == fingerprint(tiny_clip)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: build_tiny_clip(folder, seed=1),
        lambda folder: edit(folder / "preprocessor_config.json", resample=2),
        lambda folder: edit(folder / "tokenizer_config.json", model_max_length=12),
        lambda folder: edit(folder / "config.json", projection_dim=99),
        lambda folder: (folder / "merges.txt").write_text("a b"),
        lambda folder: (folder / "added_tokens.json").write_text("{odd"),
    ],
    ids=["weights", "preprocessing", "tokenizer", "config", "merges", "odd json"],
)
def test_what_changes_vectors_changes_the_fingerprint(
    change: Callable[[Path], object], tiny_clip: Path, copy: Path
) -> None:
    change(copy)
    assert fingerprint(copy) != fingerprint(tiny_clip)


def test_a_folder_is_named_without_its_path(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_checkpoint(ModelSettings(name=str(copy))).name == "copy"
    monkeypatch.chdir(copy)
    assert find_checkpoint(ModelSettings(name=".")).name == "copy"
    monkeypatch.chdir(copy.parent)
    assert find_checkpoint(ModelSettings(name="copy")).folder.resolve() == copy


def test_demo_is_the_model_that_comes_with_the_repository(
    copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository = Path(__file__).parents[2]
    assert repository / "models" / "demo-clip" == checkpoint.DEMO_FOLDER
    monkeypatch.setattr(checkpoint, "DEMO_FOLDER", copy)
    assert find_checkpoint(ModelSettings(name="demo")) == Checkpoint("copy", copy)
    monkeypatch.setattr(checkpoint, "DEMO_FOLDER", tmp_path / "gone")
    with pytest.raises(ModelUnavailable, match=r"demo model isn't in .*set MODEL"):
        find_checkpoint(ModelSettings(name="demo"))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        load_embedder(ModelSettings(name=str(folder), device="cpu", runtime="torch"))
    message = str(caught.value)
    assert "Set MODEL" in message or "MODEL_" in message
    return message


@pytest.mark.parametrize("name", ["/no/such/folder", "./no-such-folder", "~/no-such-folder"])
def test_a_folder_that_is_not_there(name: str) -> None:
    with pytest.raises(ModelUnavailable, match=f"MODEL={name} is no folder on this machine. Set MODEL"):
        find_checkpoint(ModelSettings(name=name))


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    assert "no config.json" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "config.json can't be read" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    assert "config.json is no JSON object" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "names no model_type" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("model.safetensors", "has no weights"),
        ("tokenizer.json", "has no tokenizer"),
        ("preprocessor_config.json", "has no preprocessor_config.json"),
    ],
)
def test_a_model_with_a_file_missing(missing: str, message: str, copy: Path) -> None:
    (copy / missing).unlink()
    assert message in refusal(copy)


def test_damaged_weights(copy: Path) -> None:
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "its weights can't be loaded" in refusal(copy)
    weights.write_bytes(b"garbage" * 100)
    assert "its weights can't be loaded" in refusal(copy)


def test_weights_that_lack_a_tensor_are_not_made_up(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert "lack 1 tensors, visual_projection.weight among them" in refusal(copy)


def test_damaged_tokenizer_and_preprocessing(copy: Path) -> None:
    edit(copy / "preprocessor_config.json", image_processor_type="NoSuchProcessor")
    assert "its image preprocessing can't be loaded" in refusal(copy)
    (copy / "tokenizer.json").write_text("{}")
    assert "its tokenizer can't be loaded" in refusal(copy)


def test_an_unknown_architecture(copy: Path) -> None:
    edit(copy / "config.json", model_type="no-such-model")
    assert "its configuration can't be loaded" in refusal(copy)


@pytest.mark.parametrize("kind", ["ViT", "Bert"])
def test_a_model_with_one_tower_only(kind: str, copy: Path) -> None:
    import transformers

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = getattr(transformers, f"{kind}Config")(**small)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(copy)
    assert f"it is a {kind}Model, not a dual encoder" in refusal(copy)


def test_pictures_that_cannot_be_stacked_are_found_at_load(copy: Path) -> None:
    edit(copy / "preprocessor_config.json", do_center_crop=False)
    assert "a first text and picture can't be loaded" in refusal(copy)


def test_weights_in_pytorchs_own_format_load(copy: Path, tiny_clip: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    embedder = load_embedder(ModelSettings(name=str(copy), runtime="torch"))
    assert embedder.identity.fingerprint != fingerprint(tiny_clip)
    assert embedder.encode_texts(["a dog"]).shape == (1, 16)


def in_modules(folder: Path, kind: str = "CLIPModel", path: str = "0_CLIPModel") -> Path:
    """The folder of sentence-transformers that has the model of `folder` inside."""
    outer = folder.parent / "outer"
    outer.mkdir()
    folder.rename(outer / path)
    modules = [{"idx": 0, "name": "0", "path": path, "type": f"sentence_transformers.models.{kind}"}]
    (outer / "modules.json").write_text(json.dumps(modules))
    (outer / "config_sentence_transformers.json").write_text("{}")
    return outer


def test_a_model_in_the_layout_of_sentence_transformers_loads(copy: Path, tiny_clip: Path) -> None:
    outer = in_modules(copy)
    found = find_checkpoint(ModelSettings(name=str(outer)))
    assert (found.name, found.fingerprint()) == ("outer", fingerprint(tiny_clip))
    assert load_embedder(ModelSettings(name=str(outer), runtime="torch")).encode_texts(["a dog"]).shape == (1, 16)


@pytest.mark.parametrize("path", ["../copy", "/etc", "", "a/b"])
def test_modules_that_lead_elsewhere_are_not_followed(copy: Path, path: str) -> None:
    (copy / "modules.json").write_text(json.dumps([{"path": path, "type": "sentence_transformers.models.CLIPModel"}]))
    assert find_checkpoint(ModelSettings(name=str(copy))).folder == copy


def test_texts_alone_are_refused_with_the_model_they_were_made_for(copy: Path) -> None:
    (copy / "modules.json").write_text('[{"path": "", "type": "sentence_transformers.models.Transformer"}]')
    assert load_embedder(ModelSettings(name=str(copy), runtime="torch"))
    (copy / "preprocessor_config.json").unlink()
    message = refusal(copy)
    assert "without an image tower" in message
    assert "sentence-transformers/clip-ViT-B-32" in message


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("ViT-B-16-SigLIP", "google/siglip-base-patch16-224"),
        ("ViT-B-16-SigLIP-i18n-256", "google/siglip-base-patch16-256-multilingual"),
        ("ViT-SO400M-14-SigLIP-384", "google/siglip-so400m-patch14-384"),
        ("ViT-SO400M-14-SigLIP2-378", "google/siglip2-so400m-patch14-384"),
        ("ViT-L-16-SigLIP2-512", "google/siglip2-large-patch16-512"),
        ("ViT-gopt-16-SigLIP2-384", "google/siglip2-giant-opt-patch16-384"),
        ("ViT-B-32-SigLIP2-256", "google/siglip2-base-patch32-256"),
        ("MobileCLIP-S1-OpenCLIP", "openai/clip-vit-base-patch32"),
    ],
)
def test_open_clips_format_is_refused_with_what_to_use_instead(tmp_path: Path, name: str, instead: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/open_clip_config.json").write_text(
        json.dumps({"model_cfg": {"text_cfg": {"hf_tokenizer_name": f"timm/{name}"}}})
    )
    (tmp_path / "model/open_clip_model.safetensors").write_bytes(b"")
    message = refusal(tmp_path / "model")
    assert "its weights are in open_clip's format alone" in message
    assert f"{instead}," in message
    (tmp_path / "model").rename(tmp_path / name)
    (tmp_path / name / "open_clip_config.json").write_text("{}")
    assert f"{instead}," in refusal(tmp_path / name)


def test_a_folder_that_has_both_formats_loads(copy: Path) -> None:
    (copy / "open_clip_config.json").write_text("{}")
    assert load_embedder(ModelSettings(name=str(copy), runtime="torch"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (build_tiny_flava, r"it is a FlavaModel, whose text tower makes an array of shape \(1, \d+, 16\) of one text"),
        (build_tiny_blip2, "it is a Blip2Model, whose text tower makes no vector of one text"),
    ],
)
@pytest.mark.parametrize("runtime", ["torch", "auto"])
def test_towers_that_make_matrices_are_refused(build: Build, message: str, runtime: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=message):
        load_embedder(ModelSettings(name=str(build(tmp_path / "model")), device="cpu", runtime=runtime))


class HubHandler(BaseHTTPRequestHandler):
    """A hub that gives the answers which a download needs: the commit, the list of files, the files."""

    folder: Path
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/lab/tiny/revision/"):
            self.answer(json.dumps({"id": "lab/tiny", "sha": COMMIT, "siblings": []}).encode())
        elif path.startswith("/api/models/lab/tiny/tree/"):
            files = [
                {"type": "file", "path": f.relative_to(self.folder).as_posix(), "size": f.stat().st_size, "oid": f.name}
                for f in self.files()
            ]
            self.answer(
                json.dumps([*files, {"type": "file", "path": "onnx/model.safetensors", "size": 1, "oid": "x"}]).encode()
            )
        elif path.startswith(f"/lab/tiny/resolve/{COMMIT}/"):
            self.answer((self.folder / path.removeprefix(f"/lab/tiny/resolve/{COMMIT}/")).read_bytes())
        else:
            self.answer(b'{"error": "Repository not found"}', 404)

    do_HEAD = do_GET  # noqa: N815

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hash(self.path)}"')
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[HubHandler]]:
    """A hub on this machine that has only `lab/tiny`, and an empty cache."""
    handler = type("Handler", (HubHandler,), {"folder": copy, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    point_to(monkeypatch, f"http://127.0.0.1:{server.server_port}", tmp_path / "cache")
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def point_to(monkeypatch: pytest.MonkeyPatch, endpoint: str, cache: Path) -> None:
    """Do what the variables `HF_ENDPOINT` and `HF_HUB_CACHE` do before the library is imported."""
    import huggingface_hub

    there = partial(huggingface_hub.snapshot_download, endpoint=endpoint, cache_dir=cache, token=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", there)


def test_a_model_is_fetched_from_the_hub_once_and_named_by_its_commit(hub: type[HubHandler], tiny_clip: Path) -> None:
    found = find_checkpoint(ModelSettings(name="lab/tiny", revision="v1"))
    assert found.name == "lab/tiny@0123456789ab"
    assert found.fingerprint() == fingerprint(tiny_clip)
    assert any(path.startswith("/api/models/lab/tiny/revision/v1") for path in hub.asked)
    assert not any("onnx" in path for path in hub.asked)
    hub.asked.clear()
    assert find_checkpoint(ModelSettings(name="lab/tiny", revision="v1")) == found
    assert hub.asked == []
    embedder = load_embedder(ModelSettings(name="lab/tiny", revision="v1", runtime="torch"))
    assert embedder.identity.name == "lab/tiny@0123456789ab"


def test_a_repository_with_pytorch_weights_alone_is_fetched_whole(hub: type[HubHandler]) -> None:
    (hub.folder / "model.safetensors").rename(hub.folder / "pytorch_model.bin")
    found = find_checkpoint(ModelSettings(name="lab/tiny"))
    assert [path.name for path in found.weights] == ["pytorch_model.bin"]


def test_a_repository_of_sentence_transformers_is_fetched_with_its_inner_folder(
    hub: type[HubHandler], tiny_clip: Path
) -> None:
    hub.folder = in_modules(hub.folder)
    found = find_checkpoint(ModelSettings(name="lab/tiny"))
    assert found.fingerprint() == fingerprint(tiny_clip)
    hub.asked.clear()
    assert find_checkpoint(ModelSettings(name="lab/tiny")) == found
    assert hub.asked == []


def test_weights_that_cannot_be_used_are_not_fetched(hub: type[HubHandler]) -> None:
    (hub.folder / "config.json").rename(hub.folder / "open_clip_config.json")
    (hub.folder / "model.safetensors").rename(hub.folder / "open_clip_model.safetensors")
    with pytest.raises(ModelUnavailable, match="open_clip's format alone"):
        load_embedder(ModelSettings(name="lab/tiny"))
    assert not any("safetensors" in path for path in hub.asked)


def test_a_model_the_hub_does_not_know(hub: type[HubHandler]) -> None:
    with pytest.raises(ModelUnavailable, match=r"lab/other at revision main was not found\. Tried: .*404"):
        find_checkpoint(ModelSettings(name="lab/other"))
    assert hub.asked


def test_an_unreachable_hub_is_told_quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        point_to(monkeypatch, f"http://127.0.0.1:{taken.getsockname()[1]}", tmp_path)
        started = time.monotonic()
        with pytest.raises(ModelUnavailable) as caught:
            find_checkpoint(ModelSettings(name="openai/clip-vit-base-patch32"))
    assert time.monotonic() - started < 5
    for word in (
        "openai/clip-vit-base-patch32",
        "main",
        "HF_HOME",
        "MODEL_REVISION",
        "Connect",
        "Set MODEL to a folder",
    ):
        assert word in str(caught.value)


def test_a_name_that_no_hub_can_have() -> None:
    with pytest.raises(ModelUnavailable, match="neither a folder nor a possible name"):
        find_checkpoint(ModelSettings(name="a b/c d"))
