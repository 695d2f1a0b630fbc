"""Finds the rewriter that the settings name: a model that runs here, or one at an endpoint."""

from typing import Final

from app.errors import InvalidSettings
from app.models.checkpoint import NotDownloaded
from app.models.hardware import choose_device
from app.models.rewriter.base import Rewriter
from app.models.rewriter.source import find_rewriter, require_packages
from app.settings import RewriteSettings

REQUESTS: Final = 4
"""To an endpoint at the same time."""


def check_installed(settings: RewriteSettings) -> None:
    """Raise what makes `load_rewriter` impossible, as far as that can be known without loading or downloading.

    InvalidSettings for an endpoint without a model's name, PackageMissing, ModelUnavailable.
    """
    if settings.url:
        if not settings.model:
            raise InvalidSettings(
                f"REWRITE_URL={settings.url} needs the name of a model there. Set REWRITE_MODEL, or leave it empty."
            )
        return
    require_packages(settings)
    try:
        checkpoint = find_rewriter(settings, download=False)
    except NotDownloaded:
        return
    checkpoint.check()


def calls_at_once(settings: RewriteSettings) -> int:
    """How many threads may use the rewriter: one where the model runs here."""
    return REQUESTS if settings.url else 1


def load_rewriter(settings: RewriteSettings) -> Rewriter:
    """The model that the settings name, downloaded when it is not on this machine yet. Raises as `check_installed`."""
    check_installed(settings)
    if settings.url:
        from app.models.rewriter.endpoint import EndpointRewriter  # httpx2 takes a tenth of a second to import

        return EndpointRewriter(settings)
    checkpoint = find_rewriter(settings)
    checkpoint.check()
    device = choose_device(settings.device, "REWRITE_DEVICE")
    from app.models.rewriter.torch_rewriter import TorchRewriter

    return TorchRewriter(checkpoint, device, settings.max_tokens)
