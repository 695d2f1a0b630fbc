"""The captioner: a small ordinary `GitForCausalLM`. Its vision tower begins with the weights of the demo CLIP.

`Student` is its forward pass with the loss, written for fast training on a CPU.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPImageProcessor, CLIPModel, GitConfig, GitForCausalLM, PreTrainedTokenizerFast

from scripts.train_demo_captioner.tokens import CONTEXT
from scripts.train_demo_clip.network import PIXEL_MEAN, PIXEL_STD, embed_patches, use_plain_attention
from scripts.train_demo_clip.scenes import IMAGE_PX

NOTICE = "demo captioner: knows emoji-like drawings; set CAPTION_MODEL for photographs"
_NEVER = -1e4  # added to the score of a token that may not be seen; fits into bfloat16
_SMOOTHING = 0.05
_VISION = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_channels",
           "image_size", "patch_size", "hidden_act", "layer_norm_eps")  # fmt: skip


def build_model(clip: CLIPModel, tokenizer: PreTrainedTokenizerFast) -> GitForCausalLM:
    """The vision tower of `clip`, and a new text decoder: width 192, 3 layers."""
    vision = {name: getattr(clip.config.vision_config, name) for name in _VISION}
    width = vision["hidden_size"]
    config = GitConfig(
        vision_config=vision, vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width,
        num_hidden_layers=3, num_attention_heads=vision["num_attention_heads"], max_position_embeddings=CONTEXT,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-5,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        image2search={"notice": NOTICE},
    )  # fmt: skip
    model = GitForCausalLM(config)
    model.git.image_encoder.vision_model.load_state_dict(clip.vision_model.state_dict())
    return model


class Student(nn.Module):
    """The model's own forward pass with its loss, written for fast training on a CPU."""

    def __init__(self, model: GitForCausalLM) -> None:
        super().__init__()
        use_plain_attention(model.git.image_encoder)
        self.model = model
        layers = model.git.encoder.layer
        self.decoder = nn.ModuleList(_DecoderLayer(layer, last=layer is layers[-1]) for layer in layers)

    def compile_layers(self) -> None:
        for layer in (*self.model.git.image_encoder.vision_model.encoder.layers, *self.decoder):
            layer.compile()

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor, frozen: bool = False) -> torch.Tensor:
        """Mean cross entropy of each next token of `tokens` (B, L). If `frozen`, the vision tower takes no gradient."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            seen = self.encode_images(pixels)
        logits = self.decode(seen, tokens[:, :-1])
        return nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), ignore_index=self.model.config.pad_token_id,
            label_smoothing=_SMOOTHING,
        )  # fmt: skip

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, 1 + P, W), as `GitVisionModel` does."""
        tower = self.model.git.image_encoder.vision_model
        hidden = tower.pre_layrnorm(embed_patches(tower.embeddings, pixels))
        return tower.post_layernorm(tower.encoder(inputs_embeds=hidden).last_hidden_state)

    def decode(self, seen: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, V) after each of `tokens` (B, L), given pictures (B, 1 + P, W)."""
        git = self.model.git
        picture = git.visual_projection(seen)
        hidden = torch.cat([picture, git.embeddings(input_ids=tokens).to(picture.dtype)], 1)
        mask = _prefix_mask(picture.shape[1], tokens.shape[1], hidden.device)
        for layer in self.decoder:
            hidden = layer(hidden, mask[picture.shape[1] :] if layer.last else mask)
        return self.model.output(hidden)


class _DecoderLayer(nn.Module):
    """A `GitLayer` with attention as plain matrix products. Of the `last` one, only the text's rows are needed."""

    def __init__(self, layer: nn.Module, last: bool) -> None:
        super().__init__()
        self.layer, self.last = layer, last

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """hidden (B, P + L, W), mask (R, P + L) -> the last R rows (B, R, W)."""
        attention = self.layer.attention
        heads = attention.self.num_attention_heads
        asking = hidden[:, -len(mask) :]
        query, key, value = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in (attention.self.query(asking), attention.self.key(hidden), attention.self.value(hidden))
        )
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + mask.to(query.dtype)
        found = torch.softmax(scores, -1, dtype=scores.dtype) @ value
        return self.layer.feed_forward_chunk(attention.output(found.transpose(1, 2).flatten(2), asking))


def _prefix_mask(picture: int, text: int, device: torch.device) -> torch.Tensor:
    """(P + L, P + L): the picture sees itself; a token sees the picture, itself and what stands before it."""
    mask = torch.full((picture + text, picture + text), _NEVER, device=device).triu(1)
    mask[:picture, :picture] = 0
    return mask


def export_model(model: GitForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a folder that `AutoModelForCausalLM` and `AutoProcessor` can load. Weights are stored in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.dtype = torch.float32  # the type they are loaded as
    model.config.architectures = ["GitForCausalLM"]
    model.config.save_pretrained(folder)
    model.generation_config.update(max_new_tokens=CONTEXT - 1)
    model.generation_config.save_pretrained(folder)
    weights = folder / "model.safetensors"
    kept = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(kept, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # only its owner could read it, but a service runs as another user
    tokenizer.save_pretrained(folder)
    _write_preprocessor(folder / "preprocessor_config.json")


def _write_preprocessor(path: Path) -> None:
    settings = {
        "image_processor_type": CLIPImageProcessor.__name__, "processor_class": "GitProcessor",
        "do_convert_rgb": True, "do_resize": True, "size": {"shortest_edge": IMAGE_PX}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": IMAGE_PX, "width": IMAGE_PX}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [PIXEL_MEAN] * 3, "image_std": [PIXEL_STD] * 3,
    }  # fmt: skip
    path.write_text(json.dumps(settings, indent=2) + "\n")
