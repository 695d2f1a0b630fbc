"""`python -m tests.indexer.captioning_until_killed FOLDER N`: fills in captions, and is killed in the Nth batch."""

import os
import signal
import sys
from pathlib import Path

from app.bootstrap import Parts
from app.models.lazy import LazyEmbedder
from app.storage.local import LocalStore
from indexer import captioning
from indexer.plan import Options
from indexer.progress import SilentProgress
from indexer.run import run_index
from tests.indexer.picture_collection import some_settings
from tests.support.captions import FakeCaptioner, lazily
from tests.support.catalogs import catalog_on

if __name__ == "__main__":
    store, last = LocalStore(Path(sys.argv[1])), int(sys.argv[2])
    indexed = catalog_on(store).load()
    assert indexed is not None
    model = LazyEmbedder(lambda: indexed.pointer.model.fingerprint, lambda _: sys.exit("the model is not needed"))

    def die() -> None:
        if len(captioner.batches) == last - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    captioning.SHARE = 0  # as where batches take long: each one is published
    captioner = FakeCaptioner(before_batch=die)
    settings = some_settings(look_ahead=4, lock_ttl_s=3)
    parts = Parts(settings, store, catalog_on(store, settings.index), model, store, captioner=lazily(captioner))
    run_index(parts, Options(captions=True), SilentProgress())
