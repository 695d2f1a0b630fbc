"""One process that decodes for all tests of a module, where each test would start its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.pictures.limits import Limits
from app.pictures.processes import DecoderProcesses


class _Lent:
    """Decoders that stay open when a borrower closes them."""

    def __init__(self, inner: DecoderProcesses) -> None:
        self._inner = inner

    def run(self, work: Callable[[bytes, Limits], Any], data: bytes, limits: Limits) -> Any:
        return self._inner.run(work, data, limits)

    def close(self) -> None:
        """Nothing."""


@contextmanager
def sharing_decoders(module: str) -> Iterator[None]:
    """Within it, the module's `DecoderProcesses` are all the same one."""
    shared = DecoderProcesses(1, 400 << 20)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(f"{module}.DecoderProcesses", lambda count, max_memory_bytes: _Lent(shared))
        yield
    shared.close()
