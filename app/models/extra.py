"""What a plain installation lacks: the extra `models`, which has PyTorch, transformers and NNCF.

A model that is converted to OpenVINO runs without them. `check_installed` says at a start, before any work, that the
settings ask for more.
"""

from importlib.util import find_spec
from typing import Final

from app.errors import ModelUnavailable
from app.models import artifacts
from app.models.checkpoint import CONVERTED, NotDownloaded, find_checkpoint
from app.settings import ModelSettings

NETWORK: Final = {"torch": "PyTorch", "transformers": "transformers"}
"""Packages that run a model as its makers published it, and their names in messages."""

GENERATION: Final = NETWORK | {"diffusers": "diffusers", "accelerate": "Accelerate"}
"""Packages of the extra `generation`, which run pipelines that draw pictures, and their names in messages."""

FITTING: Final = {"nncf": "NNCF"}
"""The package that fits 8-bit arithmetic, and its name in messages."""


class PackageMissing(ModelUnavailable):
    """The settings need a package of the extra `models` that is not installed."""


def is_installed(packages: dict[str, str]) -> bool:
    """Whether all of them are."""
    return not missing(packages)


def require(packages: dict[str, str], what: str, otherwise: str) -> None:
    """Raise PackageMissing when one is not installed: `what` needs it, and `otherwise` is a setting without it."""
    if lacking := missing(packages):
        raise PackageMissing(
            f"{what} needs {' and '.join(lacking)}, not installed here. Install with `pip install"
            f" 'image2search[models]'` (`make models` in a checkout), or set {otherwise}."
        )


def check_installed(settings: ModelSettings) -> None:
    """Raise PackageMissing when the settings need a package that is not installed, ModelUnavailable for a bad MODEL.

    Downloads nothing and loads no model.
    """
    if settings.runtime == "torch":
        require(NETWORK, "MODEL_RUNTIME=torch", "MODEL_RUNTIME=auto")
    if settings.device == "cuda":
        require(NETWORK, "MODEL_DEVICE=cuda", "MODEL_DEVICE=auto")
    if is_installed(NETWORK | FITTING):
        return
    converted, fitted = _kept(settings)
    if not converted:
        require(NETWORK, f"MODEL={settings.name}, which is not converted to OpenVINO yet,", "MODEL=demo")
    if settings.precision == "int8" and not fitted:
        require(FITTING, "PRECISION=int8, which is not fitted to this model yet,", "PRECISION=auto")


def _kept(settings: ModelSettings) -> tuple[bool, bool]:
    """Whether the model lies converted on this machine, and whether 8-bit arithmetic fitted to it does."""
    try:
        checkpoint = find_checkpoint(settings, download=False)
    except NotDownloaded:
        return False, False
    fingerprint = checkpoint.fingerprint()
    cached = settings.cache.expanduser() / CONVERTED / fingerprint
    shipped = artifacts.find(checkpoint.folder / CONVERTED, {"fingerprint": fingerprint})
    return (
        shipped is not None or (cached / artifacts.MANIFEST).is_file(),
        (cached / "int8" / artifacts.MANIFEST).is_file(),
    )


def missing(packages: dict[str, str]) -> list[str]:
    """The names of those that are not installed."""
    return [name for package, name in packages.items() if find_spec(package) is None]
