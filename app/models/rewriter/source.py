"""A language model's folder as its makers published it, read by transformers: tokenizer and PyTorch network."""

from typing import Any, Final

from app.errors import ModelUnavailable
from app.models import extra
from app.models.checkpoint import DEMO_MODEL, Checkpoint, Role, find_model
from app.models.hugging_face import quiet_transformers
from app.settings import RewriteSettings

REWRITER: Final = Role(
    "REWRITE_MODEL",
    "REWRITE_REVISION",
    "Set REWRITE_MODEL to the folder or the name of a Hugging Face causal or instruct model, such as Qwen/Qwen3-0.6B or"
    " distilgpt2, or leave it empty.",
    sees=False,
)


def find_rewriter(settings: RewriteSettings, *, download: bool = True) -> Checkpoint:
    """The model that `REWRITE_MODEL` names, as `find_model`."""
    if settings.model == DEMO_MODEL:
        raise ModelUnavailable(f"REWRITE_MODEL={DEMO_MODEL}: the repository has no model for it. {REWRITER.remedy}")
    return find_model(settings.model, settings.revision, REWRITER, download=download)


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """A class of transformers. Raises ModelUnavailable."""
    from transformers import AutoTokenizer

    with quiet_transformers(), checkpoint.translating("its tokenizer"):
        return AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)


def load_network(checkpoint: Checkpoint, dtype: Any) -> Any:
    """The PyTorch network in this arithmetic, ready to generate. Raises ModelUnavailable."""
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = checkpoint.config.get("model_type")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise checkpoint.unavailable(f"it is a model of the kind {kind}, which does not continue texts")
    with quiet_transformers(), checkpoint.translating("its weights"):
        network, loading = AutoModelForCausalLM.from_pretrained(
            checkpoint.folder, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
    if missing := sorted(loading["missing_keys"]):
        raise checkpoint.unavailable(
            f"its weights lack {len(missing)} tensors, {missing[0]} among them; they would get random numbers"
        )
    return network.eval()


def require_packages(settings: RewriteSettings) -> None:
    """Raise PackageMissing when the extra `models` is not installed."""
    extra.require(extra.NETWORK, f"REWRITE_MODEL={settings.model}", "REWRITE_URL to an API that has the model")
