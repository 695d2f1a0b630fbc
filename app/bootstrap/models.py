"""Which networks the settings name. Each is loaded when something needs it."""

from collections.abc import Callable

from app.models.base import Embedder
from app.models.calibration import Calibration, sample_calibration
from app.models.captioner.lazy import LazyCaptioner
from app.models.checkpoint import find_checkpoint
from app.models.hugging_face import SourceModel
from app.models.lazy import Lazy
from app.models.rewriter import loading as rewriters
from app.models.rewriter.base import Rewriter
from app.pictures.decoding import ReadPicture
from app.settings import ModelSettings, Settings


def load_embedder(
    settings: ModelSettings, calibration: Calibration | None = None, *, for_batches: bool = False
) -> Embedder:
    """The model that `MODEL` names, ready to encode. Raises ModelUnavailable.

    8-bit arithmetic is fitted to `calibration`, or to the sample pictures where `PRECISION=int8` asks for it.
    """
    from app.models import choose  # OpenVINO takes half a second to import, and storage needs none of it

    if calibration is None and settings.precision == "int8":
        calibration = sample_calibration()
    return choose.load_embedder(settings, calibration, for_batches=for_batches)


def make_captioner(settings: Settings) -> LazyCaptioner | None:
    """The captioner that `CAPTION_MODEL` names, not yet loaded; None where it names none. Raises ModelUnavailable."""
    wanted, cache_folder = settings.caption, settings.model.cache.expanduser()
    if not wanted.model:
        return None
    from app.models.captioner import loading as captioners
    from app.models.captioner.source import find_captioner

    captioners.check_installed(wanted, cache_folder)
    return LazyCaptioner(
        lambda: find_captioner(wanted).name,
        lambda: captioners.find_resize(wanted, cache_folder),
        lambda: captioners.load_captioner(wanted, cache_folder),
    )


def make_rewriter(settings: Settings) -> Lazy[Rewriter] | None:
    """The rewriter that `REWRITE_MODEL` names, not yet loaded; None where it names none.

    Raises InvalidSettings, ModelUnavailable.
    """
    wanted = settings.rewrite
    if not wanted.model and not wanted.url:
        return None
    rewriters.check_installed(wanted)
    return Lazy(lambda: rewriters.load_rewriter(wanted))


def can_fit_int8(settings: ModelSettings, fingerprint: str) -> bool:
    """As `choose.can_fit_int8`."""
    from app.models import choose

    return choose.can_fit_int8(settings, fingerprint)


def fit_int8(settings: ModelSettings, calibration: Calibration, *, go_on: Callable[[], bool], max_s: float) -> None:
    """As `choose.fit_int8`. Raises ModelUnavailable."""
    from app.models import choose

    choose.fit_int8(settings, calibration, go_on=go_on, max_s=max_s)


def picture_reader(settings: ModelSettings) -> ReadPicture:
    """`Embedder.read_picture` of the model that `MODEL` names, without its weights. Picklable.

    Raises ModelUnavailable.
    """
    from app.models.openvino.conversion import Converter  # OpenVINO takes half a second to import

    checkpoint = find_checkpoint(settings)
    converter = Converter(checkpoint, SourceModel(checkpoint))
    return converter.find_preparer(settings.cache.expanduser()).images.read_picture
