"""A rewriter run by PyTorch through transformers' `generate`. Importing this takes seconds."""

import gc
from collections.abc import Callable
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from app.errors import RewriteFailed
from app.models.checkpoint import Checkpoint
from app.models.hardware import float_type
from app.models.hugging_face import quiet_transformers
from app.models.rewriter.answers import is_complete, search_text
from app.models.rewriter.base import Conversation, Deadline
from app.models.rewriter.prompts import few_shot, messages
from app.models.rewriter.source import load_network, load_tokenizer


class TorchRewriter:
    """The `Rewriter` for any causal model. Not thread-safe."""

    def __init__(self, checkpoint: Checkpoint, device: str, max_tokens: int) -> None:
        """Raises ModelUnavailable."""
        self.name = checkpoint.name
        self._device, self._max_tokens = device, max_tokens
        self._tokenizer = load_tokenizer(checkpoint)
        self._network = load_network(checkpoint, float_type(device)).to(device)
        self._room = _context_of(self._network.config) - max_tokens
        """Tokens that a prompt may have."""

    def rewrite(self, conversation: Conversation, deadline: Deadline) -> str:
        """As `Rewriter.rewrite`."""
        tokens = self._fitting(_without_marks(conversation, self._tokenizer))
        answer = self._continued(tokens, deadline)
        if deadline.is_over and not is_complete(answer):
            raise RewriteFailed("The rewriter did not finish in time.")
        return search_text(answer, conversation)

    def close(self) -> None:
        """As `Rewriter.close`."""
        del self._network, self._tokenizer
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def _fitting(self, conversation: Conversation) -> Any:
        """The tokens of its prompt, (1, T) int64, with as many captions as the model has room for."""
        for captions in range(len(conversation.captions), -1, -1):
            tokens = self._tokens_of(conversation._replace(captions=conversation.captions[:captions]))
            if tokens.shape[1] <= self._room:
                return tokens
        raise RewriteFailed("The words are longer than the rewriter can read at once.")

    def _tokens_of(self, conversation: Conversation) -> Any:
        if not self._tokenizer.chat_template:
            return self._tokenizer(few_shot(conversation), return_tensors="pt")["input_ids"]
        prompt = self._tokenizer.apply_chat_template(
            messages(conversation),
            add_generation_prompt=True,
            tokenize=False,
            enable_thinking=False,  # a word of Qwen 3's template; others pass over it
        )
        return self._tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]

    @torch.inference_mode()
    def _continued(self, prompt: Any, deadline: Deadline) -> str:
        """What the model writes after the prompt, up to the end of its first line, or of the time."""
        length = prompt.shape[1]

        def text_of(tokens: Any) -> str:
            return str(self._tokenizer.decode(tokens[0, length:], skip_special_tokens=True))

        with quiet_transformers():
            written = self._network.generate(
                prompt.to(self._device),
                attention_mask=torch.ones_like(prompt, device=self._device),
                max_new_tokens=self._max_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=_padding_of(self._tokenizer),
                stopping_criteria=StoppingCriteriaList([_Stop(text_of, deadline)]),
            )
        return text_of(written)


class _Stop(StoppingCriteria):  # type: ignore[misc]
    """After each token: whether the answer is there, or the time is over."""

    def __init__(self, text_of: Callable[[Any], str], deadline: Deadline) -> None:
        self._text_of, self._deadline = text_of, deadline

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        is_over = self._deadline.is_over or is_complete(self._text_of(input_ids))
        return torch.full((input_ids.shape[0],), is_over, dtype=torch.bool, device=input_ids.device)


def _without_marks(conversation: Conversation, tokenizer: Any) -> Conversation:
    """Without what the tokenizer reads as its special tokens: text that has them could end its own turn in a chat."""
    marks = sorted((str(token) for token in tokenizer.added_tokens_decoder.values() if token.special), key=len)

    def clean(text: str) -> str:
        for mark in reversed(marks):
            text = text.replace(mark, " ")
        return text

    query, feedback, captions = conversation
    return Conversation(clean(query), tuple(map(clean, feedback)), tuple(map(clean, captions)))


def _context_of(config: Any) -> int:
    """The number of tokens for which the model has positions."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return positions if isinstance(positions, int) else 2048


def _padding_of(tokenizer: Any) -> int | None:
    padding: int | None = tokenizer.pad_token_id
    return tokenizer.eos_token_id if padding is None else padding
