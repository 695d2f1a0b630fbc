"""Tiny language models in Hugging Face's folder format, whose answer is known: real architectures, weights by hand.

Each token says which one comes next, and nothing else counts: embeddings are one-hot, the blocks add nothing, and the
head maps each token to its successor.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHAT = (
    "{% for message in messages %}<|{{ message.role }}|> {{ message.content }} <|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MARKS = ("<|user|>", "<|assistant|>", "<|end|>")


def build_parrot(folder: Path, says: Sequence[str], *, chat: bool = False, context: int = 2000) -> Path:
    """A GPT-2 that writes these tokens, each another one, after `Caption:`, or after the mark of its turn in a chat.

    A last token that occurs earlier makes it go on from there without end.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = _tokenizer(says)
    if chat:
        tokenizer.chat_template = CHAT
    size = len(tokenizer)
    config = GPT2Config(
        vocab_size=size, n_embd=size, n_head=1, n_layer=1, n_positions=context, tie_word_embeddings=False,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    chain = ["<|assistant|>" if chat else "Caption:", *says, *([] if says[-1] in says[:-1] else ["<|endoftext|>"])]
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "ln_" not in name:
                weights.zero_()
        model.transformer.wte.weight.copy_(torch.eye(size))
        for before, after in pairwise(chain):
            numbers = tokenizer.convert_tokens_to_ids([before, after])
            model.lm_head.weight[numbers[1], numbers[0]] = 1.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(words: Sequence[str]) -> "PreTrainedTokenizerFast":
    """Knows these words, the line break and the marks; other words are one token, all the same."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = dict.fromkeys(["<|endoftext|>", "[UNK]", "Caption:", "\n", *words])
    numbers = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n"), "isolated"),
            pre_tokenizers.Split(Regex(r"[^\S\n]+"), "removed"),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        eos_token="<|endoftext|>",
        additional_special_tokens=list(MARKS),
        clean_up_tokenization_spaces=False,
    )
