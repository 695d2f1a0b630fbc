"""A model's folder as its makers left it, read when it is asked for: a kept conversion needs none of it."""

from functools import cached_property
from typing import Any

from app.models.checkpoint import Checkpoint
from app.models.inputs import Preparation


class Original:
    """Read by transformers and PyTorch, which take seconds to import."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    @cached_property
    def prepare(self) -> Preparation:
        """Raises ModelUnavailable."""
        from app.models import hugging_face

        return hugging_face.read_preparation(self._checkpoint)

    def load_model(self) -> Any:
        """The network, in float32. Raises ModelUnavailable."""
        from app.models import hugging_face

        return hugging_face.load_model(self._checkpoint)
