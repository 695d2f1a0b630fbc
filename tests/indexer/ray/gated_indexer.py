"""`python -m tests.indexer.ray.gated_indexer FOLDER [options]`: the indexer on a Ray of its own, held up by a test.

Pictures that are WIDTH wide are not embedded before FOLDER/open is there.
"""

import sys
from pathlib import Path

from app.bootstrap import open_store
from app.catalog.catalog import Catalog
from app.settings import Settings
from indexer.cli import make_app
from indexer.executor import Model, Parts
from indexer.ray.executor import RayEngine
from tests.indexer.ray.faults import Faults, FaultyEmbedder, FaultyRecipe
from tests.support.catalogs import MODEL

WIDTH = 77


def assemble(settings: Settings) -> Parts:
    store = open_store(settings.storage)
    faults = Faults(Path(sys.argv[1]), waits_for_gate=WIDTH)
    model = Model(lambda: MODEL.fingerprint, lambda _: FaultyEmbedder(faults))
    engine = RayEngine(FaultyRecipe(settings, faults))
    return Parts(settings, store, Catalog(store, settings.index), model, engine)


if __name__ == "__main__":
    make_app(assemble)(sys.argv[2:])
