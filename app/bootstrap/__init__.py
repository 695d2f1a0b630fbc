"""The only place that picks concrete classes: settings -> parts -> services.

The service, the command line, the indexer and the workers of Ray all start here.
"""

from app.bootstrap.models import can_fit_int8, fit_int8, load_embedder, make_captioner, make_rewriter, picture_reader
from app.bootstrap.parts import Parts, build, check_index, open_bank
from app.bootstrap.running import running
from app.bootstrap.services import State
from app.bootstrap.stores import (
    etag_cache_of,
    open_catalog,
    open_index_store,
    open_provider,
    open_session_store,
    open_store,
    open_vector_server,
)

__all__ = [
    "Parts",
    "State",
    "build",
    "can_fit_int8",
    "check_index",
    "etag_cache_of",
    "fit_int8",
    "load_embedder",
    "make_captioner",
    "make_rewriter",
    "open_bank",
    "open_catalog",
    "open_index_store",
    "open_provider",
    "open_session_store",
    "open_store",
    "open_vector_server",
    "picture_reader",
    "running",
]
