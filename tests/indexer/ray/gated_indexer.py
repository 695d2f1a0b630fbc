"""`python -m tests.indexer.ray.gated_indexer FOLDER [options]`: the indexer on a Ray of its own, held up by a test.

Pictures that are WIDTH wide are not embedded before FOLDER/open is there.
"""

import sys
from pathlib import Path

from app.bootstrap import Parts, open_store
from app.models.lazy import LazyEmbedder
from app.settings import Settings, load_settings
from indexer.cli import make_app
from indexer.ray import executor
from tests.indexer.ray.faults import Faults, FaultyEmbedder, FaultyParts
from tests.support.catalogs import MODEL, catalog_on

WIDTH = 77

LEAVING_S = 1
"""The batch that is held up does not end, so a longer wait for it changes nothing."""

if __name__ == "__main__":
    executor.LEAVING_S = LEAVING_S
    faults = Faults(Path(sys.argv[1]), waits_for_gate=WIDTH)

    def build(settings: Settings) -> Parts:
        store = open_store(settings.storage)
        model = LazyEmbedder(lambda: MODEL.fingerprint, lambda _: FaultyEmbedder(faults))
        return Parts(settings, store, catalog_on(store, settings.index), model, store)

    make_app(build, executor.ray_executor(FaultyParts(load_settings(), faults)))(sys.argv[2:])
