"""The captioner's tokenizer: whole words, in the format of BERT's, as GIT's is.

The sentences have few words, so each is one token; other words are spelt in letters.
"""

from collections.abc import Sequence
from string import ascii_lowercase, digits

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
CONTEXT = 32


def build_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    letters = [*ascii_lowercase, *digits, "-", "'"]
    pieces = [PAD, UNKNOWN, START, END, ",", *letters, *(f"##{letter}" for letter in letters), *words]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(",", "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(mark, vocabulary[mark]) for mark in (START, END)]
    )
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=CONTEXT, pad_token=PAD, unk_token=UNKNOWN,
        bos_token=START, cls_token=START, eos_token=END, sep_token=END,
    )  # fmt: skip
