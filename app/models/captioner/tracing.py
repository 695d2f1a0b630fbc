"""Converts a captioner's PyTorch network to OpenVINO, and compares its captions with PyTorch's."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from tokenizers import Tokenizer, decoders

from app.models.agreement import sample_pictures
from app.models.captioner.converted import FACTS, PICTURE, TOKENIZER, WORDS, ConvertedCaptioner, Facts
from app.models.captioner.graphs import GRAPHS
from app.models.captioner.source import SourceCaptioner
from app.models.captioner.torch_captioner import TorchCaptioner, room_for_words
from app.models.hugging_face import quiet_transformers
from app.models.openvino.core import NotConvertible, save_network
from app.models.openvino.tracing import trace
from app.settings import CaptionSettings

BYTE_LEVEL_SPACE: Final = "\u0120"
"""How a byte-level tokenizer writes a space."""

ORDINARY: Final = {
    **{"do_sample": False, "early_stopping": False, "min_length": 0, "min_new_tokens": None},
    **{"no_repeat_ngram_size": 0, "repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0, "num_beam_groups": 1},
    **{"suppress_tokens": None, "begin_suppress_tokens": None, "bad_words_ids": None, "forced_bos_token_id": None},
    **{"forced_eos_token_id": None, "sequence_bias": None, "exponential_decay_length_penalty": None},
}
"""Rules for words that the searches of `decoding` don't have, and their values that change nothing."""


def write_captioner(source: SourceCaptioner, folder: Path, *, half: bool = False) -> None:
    """Write what `ConvertedCaptioner` needs, with the weights in `half` precision if asked.

    Raises NotConvertible, ModelUnavailable, OSError.
    """
    kind = source.checkpoint.config["model_type"]
    if kind not in GRAPHS:
        raise NotConvertible(f"models of the kind {kind} are not converted")
    facts = source.images.facts()
    if facts is None:
        raise NotConvertible("its pictures are prepared by a class of transformers")
    network = source.load_network()
    picture, words = (graph(network).eval() for graph in GRAPHS[kind])
    pixels = source.images(sample_pictures()[:3])
    seen = np.asarray(picture(*_tensors(pixels)).detach())
    start, ends, penalty = _rules_of(network)
    tokens = np.full((3, 2, 3), start, np.int64)
    with quiet_transformers():
        for graph, inputs, name in ((picture, pixels, PICTURE), (words, {"seen": seen, "tokens": tokens}, WORDS)):
            save_network(
                trace(graph, inputs, f"its graph of the {name.removesuffix('.xml')}"), folder / name, half=half
            )
    (folder / TOKENIZER).write_text(_library_tokenizer(source.tokenizer).to_str(), "utf-8")
    made = Facts(facts, start, ends, room_for_words(network.config), penalty)
    (folder / FACTS).write_text(json.dumps(asdict(made)))
    _compare(source, folder)


def _library_tokenizer(tokenizer: Any) -> Tokenizer:
    """The tokenizers library below a class of transformers, made to join tokens as the class does."""
    library = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    if suffix := getattr(library.model, "end_of_word_suffix", None):  # CLIP's class replaces it after decoding
        library.decoder = decoders.Sequence([decoders.Replace(suffix, BYTE_LEVEL_SPACE), decoders.ByteLevel()])
    return library


def _tensors(inputs: Any) -> list[Any]:
    import torch

    return [torch.from_numpy(array) for array in inputs.values()]


def _rules_of(network: Any) -> tuple[int, tuple[int, ...], float]:
    """First token, end tokens and length penalty of `generate`. Raises NotConvertible where it has other rules too."""
    rules = network.generation_config
    for name, value in ORDINARY.items():
        if getattr(rules, name, value) not in (value, None):
            raise NotConvertible(f"its generation_config.json sets {name}")
    if network.config.model_type == "blip":
        text = network.config.text_config
        start, ends = text.bos_token_id, text.sep_token_id
    else:
        start, ends = rules.bos_token_id, rules.eos_token_id
    length_penalty = getattr(rules, "length_penalty", None)
    ends = tuple(ends) if isinstance(ends, list | tuple) else (ends,)
    return int(start), ends, 1.0 if length_penalty is None else float(length_penalty)


def _compare(source: SourceCaptioner, folder: Path) -> None:
    """Raise NotConvertible unless the captions are the same, for single pictures and for batches, with beams too."""
    pictures = sample_pictures()
    for beams, batch_size in ((1, 4), (3, 2)):
        settings = CaptionSettings(beams=beams, batch_size=batch_size, max_tokens=20)
        ours = ConvertedCaptioner(source.checkpoint.name, folder, settings, "f32").caption(pictures)
        theirs = TorchCaptioner(source, "cpu", settings).caption(pictures)
        if ours != theirs:
            raise NotConvertible(f"it says {ours[0]!r} there where PyTorch says {theirs[0]!r}")
