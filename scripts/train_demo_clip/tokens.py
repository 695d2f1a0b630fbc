"""The demo model's own tokenizer: byte-level BPE learnt from captions, in the format of CLIP's."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

CONTEXT = 32
START, END = "<|startoftext|>", "<|endoftext|>"


def learn_tokenizer(texts: Iterable[str], size: int) -> CLIPTokenizer:
    """Learn merges from `texts`. Every byte can be encoded, so texts in any script can too."""
    plain = CLIPTokenizer()
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = plain.backend_tokenizer.normalizer
    learner.pre_tokenizer = plain.backend_tokenizer.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    return _as_clip(learner, alphabet)


def _as_clip(learner: Tokenizer, alphabet: list[str]) -> CLIPTokenizer:
    """A tokenizer with CLIP's vocabulary order: bytes, bytes that end a word, merged pieces, the two marks."""
    state = json.loads(learner.to_str())["model"]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in state["merges"]]
    pieces = [
        *alphabet,
        *(f"{letter}</w>" for letter in alphabet),
        *(left + right for left, right in merges),
        START,
        END,
    ]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(folder)
