"""Model folders as sentence-transformers and open_clip lay them out.

The first have a model of transformers in a folder inside, which is used. The second have weights under other names,
which transformers can't read; the refusal names a model to use instead.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

PROCESSORS: Final = ("preprocessor_config.json", "processor_config.json")
"""Files that say how pictures are prepared."""

MODULES: Final = "modules.json"
"""Lists the parts of a model of sentence-transformers, each with its `type` and its folder `path`."""

OPEN_CLIP: Final = "open_clip_config.json"

SIGLIP: Final = re.compile(
    r"ViT-(?P<size>B|L|SO400M|gopt)-(?P<patch>\d+)-SigLIP(?P<version>2?)(?P<i18n>-i18n)?(-(?P<pixels>\d+))?(?!\d)",
    re.IGNORECASE,
)
"""How open_clip's names of SigLIP are made, `timm/ViT-SO400M-14-SigLIP2-378` for one."""

SIGLIP_SIZES: Final = {"b": "base", "l": "large", "so400m": "so400m", "gopt": "giant-opt"}


def model_folder(folder: Path) -> Path:
    """The folder that has the files of transformers: `folder`, or the one inside that `modules.json` names."""
    paths = [str(module.get("path", "")) for module in _modules(folder) if _type_of(module) == "CLIPModel"]
    return folder / paths[0] if paths and re.fullmatch(r"\w+", paths[0]) else folder


def problem_of(folder: Path, name: str) -> str | None:
    """Why another library's folder can't be used, and what can; None where nothing is foreign. `name` is for people."""
    if modules := _modules(folder):
        pictures = [module for module in modules if _type_of(module) == "CLIPModel"]
        if not (pictures or any((folder / each).is_file() for each in PROCESSORS)):
            return (
                "it is a model of sentence-transformers without an image tower, for texts alone. For pictures use the"
                " CLIP model that it was made for, such as sentence-transformers/clip-ViT-B-32"
            )
    elif (folder / OPEN_CLIP).is_file() and not (folder / "config.json").is_file():
        return f"its weights are in open_clip's format alone. Use {_instead_of(folder, name)}"
    return None


def _instead_of(folder: Path, name: str) -> str:
    """The model of transformers with the same weights where its name can be told, else models of the same kind."""
    for text in (name, (folder / OPEN_CLIP).read_text(errors="replace")):
        if named := SIGLIP.search(text):
            size, version, patch = SIGLIP_SIZES[named["size"].lower()], named["version"], named["patch"]
            pixels = {None: "256" if patch == "32" else "224", "378": "384"}.get(named["pixels"], named["pixels"])
            multilingual = "-multilingual" if named["i18n"] else ""
            return f"google/siglip{version}-{size}-patch{patch}-{pixels}{multilingual}, which is the same model"
    return (
        "a model that is published for transformers, for instance openai/clip-vit-base-patch32,"
        " laion/CLIP-ViT-B-32-laion2B-s34B-b79K or google/siglip2-base-patch16-224"
    )


def _modules(folder: Path) -> list[dict[str, Any]]:
    try:
        modules = json.loads((folder / MODULES).read_bytes())
    except (OSError, ValueError):
        return []
    return [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []


def _type_of(module: dict[str, Any]) -> str:
    """The name of its class, `CLIPModel` of `sentence_transformers.models.CLIPModel`."""
    return str(module.get("type", "")).rpartition(".")[2]
