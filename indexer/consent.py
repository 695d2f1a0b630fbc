"""Before the demo model embeds pictures that it can't know, a person is warned, and asked before the first run."""

from typing import Protocol

from app.errors import AppError
from app.models.advice import MODELS_TO_SET, is_sample, knows_drawings_only
from indexer.plan import Baseline, Plan, Run


class Consent(Protocol):
    """Tells a person what is about to be done."""

    def __call__(self, warning: str, question: str | None) -> bool:
        """Show the warning. Returns False if the person was asked the question and said no."""
        ...


def no_questions(warning: str, question: str | None) -> bool:
    """For runs that no person watches."""
    return True


def check_model_fits(run: Run, plan: Plan, baseline: Baseline, consent: Consent) -> None:
    """Warn where the demo model is to embed other pictures than the samples. Raises AppError if a person declines.

    A person who has let it make an index is not asked again.
    """
    if not knows_drawings_only(run.parts.settings.model):
        return
    strange = sum(not is_sample(info.key, info.size_bytes) for info in plan.to_read)
    if not strange:
        return
    warning = (
        f"Warning: the demo model knows drawings made of emoji, not photographs.\n"
        f"It does not know {strange:,} of the pictures to index: searches find these by luck.\n{MODELS_TO_SET}"
    )
    starts = baseline.snapshot is None or baseline.must_be_replaced or run.options.rebuild
    run.progress.close()
    if not consent(warning, "Index them with the demo model all the same?" if starts else None):
        raise AppError("Nothing was indexed. Set MODEL and run again, or run with --yes to index with the demo model.")
