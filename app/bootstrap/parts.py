"""What the service and the indexer are made of: settings -> parts."""

import os
from dataclasses import dataclass
from functools import cache

from app.bootstrap.models import load_embedder, make_captioner, make_rewriter
from app.bootstrap.stores import check_session_store, etag_cache_of, open_catalog, open_index_store, open_store
from app.catalog.catalog import Catalog, check_model
from app.catalog.live import NOTHING_YET
from app.errors import IndexNotReady
from app.models import extra
from app.models.bank import Bank, find_bank, load_bank
from app.models.captioner.lazy import LazyCaptioner
from app.models.checkpoint import find_checkpoint
from app.models.lazy import Lazy, LazyEmbedder
from app.models.rewriter.base import Rewriter
from app.pictures.processes import DecoderProcesses, Decoders, InThisProcess
from app.settings import Settings
from app.storage.base import ObjectStore

DECODERS = min(os.cpu_count() or 1, 8)
"""Pictures that are decoded at the same time, each in a process of its own."""

WORTH_A_BANK = 256
"""An index run with fewer new pictures does not embed the bank. The service does it, and measures those it finds."""


@dataclass(frozen=True)
class Parts:
    """What the service and the indexer are made of."""

    settings: Settings
    store: ObjectStore
    """Has the pictures."""
    catalog: Catalog
    model: LazyEmbedder
    index_store: ObjectStore
    """Has the index and the thumbnails. It is the pictures' own store unless `INDEX_URL` names another."""
    decoders: Decoders = InThisProcess()  # noqa: RUF009 - has no state
    """Decode picture files."""
    captioner: LazyCaptioner | None = None
    """None where `CAPTION_MODEL` names no model."""
    rewriter: Lazy[Rewriter] | None = None
    """None where `REWRITE_MODEL` names no model."""


def build(settings: Settings, *, for_batches: bool = False) -> Parts:
    """Make every part; the model is loaded when something needs it.

    `for_batches` makes an index run faster and a single picture slower. Raises InvalidSettings, and ModelUnavailable
    when the model needs packages that are not installed.
    """
    extra.check_installed(settings.model)
    check_session_store(settings.sessions)
    captioner, rewriter = make_captioner(settings), make_rewriter(settings)
    store = open_store(settings.storage, etag_cache=etag_cache_of(settings))
    index_store = open_index_store(settings, store)
    checkpoint = cache(lambda: find_checkpoint(settings.model))
    model = LazyEmbedder(
        lambda: checkpoint().fingerprint(),
        lambda calibration: load_embedder(settings.model, calibration, for_batches=for_batches),
        lambda: checkpoint().name,
    )
    decoders = DecoderProcesses(DECODERS, settings.image.max_memory_bytes)
    catalog = open_catalog(settings, index_store)
    return Parts(settings, store, catalog, model, index_store, decoders, captioner, rewriter)


def check_index(parts: Parts) -> None:
    """Raise IndexNotReady without an index, and IndexMismatch when another model has made it.

    Loads no model: converting one takes a minute. Raises IndexCorrupt, StorageUnavailable, ModelUnavailable.
    """
    pointer = parts.catalog.pointer()
    if pointer is None:
        raise IndexNotReady(NOTHING_YET)
    check_model(pointer, parts.model)


def open_bank(parts: Parts, pictures: int) -> Bank | None:
    """The bank of texts, for this number of new pictures; None if relevance is off, or if it is not worth its time.

    It is taken from MODEL_CACHE, or embedded for `WORTH_A_BANK` pictures where this process has the model.
    """
    if not parts.settings.search.relevance or not pictures:
        return None
    cache_folder = parts.settings.model.cache.expanduser()
    if found := find_bank(cache_folder, parts.model.fingerprint):
        return found
    is_worth_it = pictures >= WORTH_A_BANK and parts.model.is_loaded
    return load_bank(cache_folder, parts.model.embedder) if is_worth_it else None
