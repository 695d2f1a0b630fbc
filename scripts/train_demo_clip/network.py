"""The demo model's architecture: a small ordinary `CLIPModel`, and parts that only training needs.

`build_model` -> CLIPModel; `encode_images` is its vision tower, written for fast training on a CPU;
`SceneHeads` are auxiliary outputs that are dropped after training.
"""

import torch
from torch import nn
from transformers import AttentionInterface, CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from scripts.train_demo_clip.backgrounds import BACKGROUNDS
from scripts.train_demo_clip.colours import COLOUR_NAMES
from scripts.train_demo_clip.initial import start_vision_tower
from scripts.train_demo_clip.looks import LOOKS
from scripts.train_demo_clip.scenes import IMAGE_PX, MOST_OBJECTS
from scripts.train_demo_clip.tokens import CONTEXT

NOTICE = "demo model: knows emoji-like drawings; set MODEL for photographs"
PIXEL_MEAN = PIXEL_STD = 0.5
_FAST_ATTENTION = "plain_matmul"


def build_config(tokenizer: CLIPTokenizer) -> CLIPConfig:
    """Vision: 64 patches of 12 px, width 192, 6 layers. Text: 32 tokens, width 128, 3 layers. Shared space: 192."""
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3,
        "num_attention_heads": 2, "max_position_embeddings": CONTEXT, "hidden_act": "gelu", "projection_dim": 192,
        **ids,
    }  # fmt: skip
    vision = {
        "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 3,
        "image_size": IMAGE_PX, "patch_size": 12, "hidden_act": "gelu", "projection_dim": 192,
    }  # fmt: skip
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=192, image2search={"notice": NOTICE})


def build_model(config: CLIPConfig) -> CLIPModel:
    """A new model. Without a GPU its attention uses plain matrix products: the fused backward pass is slow on CPUs."""
    model = CLIPModel(config)
    start_vision_tower(model)
    if not torch.cuda.is_available():
        use_plain_attention(model)
    return model


def use_plain_attention(model: CLIPModel) -> None:
    AttentionInterface.register(_FAST_ATTENTION, _plain_attention)
    AttentionMaskInterface.register(_FAST_ATTENTION, eager_mask)
    model.set_attn_implementation(_FAST_ATTENTION)


def _plain_attention(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: torch.Tensor | None, scaling: float, **_: object,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """q, k, v (B, H, L, D) -> (B, L, H, D)."""
    scores = (query * scaling) @ key.transpose(-1, -2)
    if attention_mask is not None:
        scores = scores + attention_mask.to(scores.dtype)
    weights = torch.softmax(scores, -1, dtype=scores.dtype)
    return (weights @ value).transpose(1, 2).contiguous(), None


def encode_images(model: CLIPModel, pixels: torch.Tensor, keep: float = 1.0) -> torch.Tensor:
    """(B, 3, H, W) -> pooled (B, 192), as `CLIPVisionModel` does; `keep` < 1 sees only this share of the patches.

    Li et al., "Scaling Language-Image Pre-training via Masking" (FLIP, arXiv:2212.00794).
    """
    tower = model.vision_model
    embedded = embed_patches(tower.embeddings, pixels)
    hidden = tower.pre_layrnorm(_drop_patches(embedded, keep) if keep < 1 else embedded)
    return tower.post_layernorm(tower.encoder(inputs_embeds=hidden).last_hidden_state[:, 0])


def _drop_patches(tokens: torch.Tensor, keep: float) -> torch.Tensor:
    """(B, 1 + P, W) -> the class token and a random `keep` of the patches of each picture."""
    batch, count, width = tokens.shape
    order = torch.rand(batch, count - 1, device=tokens.device).argsort(1)[:, : round(keep * (count - 1))] + 1
    chosen = torch.cat([order.new_zeros(batch, 1), order], 1)
    return tokens.gather(1, chosen[..., None].expand(-1, -1, width))


def embed_patches(embeddings: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """`CLIPVisionEmbeddings` with its convolution as one matrix product, which trains faster on a CPU."""
    kernel = embeddings.patch_embedding.weight
    size, batch = kernel.shape[-1], pixels.shape[0]
    grid = pixels.shape[-1] // size
    patches = pixels.reshape(batch, 3, grid, size, grid, size).permute(0, 2, 4, 1, 3, 5).reshape(batch, grid * grid, -1)
    tokens = nn.functional.linear(patches, kernel.flatten(1))
    start = embeddings.class_embedding.to(tokens.dtype).expand(batch, 1, -1)
    return torch.cat([start, tokens], 1) + embeddings.position_embedding.weight.to(tokens.dtype)


class SceneHeads(nn.Module):
    """Auxiliary outputs for training: the contents of a scene, from the vision features and from the shared space.

    `prototypes` (G, 192) stand for the glyphs in the shared space. Pictures and captions are pulled towards the
    prototypes of their objects. So every step has all glyphs as negatives, even in a small batch.
    """

    def __init__(self, width: int, shared: int, glyphs: int) -> None:
        super().__init__()
        self.glyphs = nn.Linear(width, glyphs)
        self.tints = nn.Linear(width, len(COLOUR_NAMES))
        self.background = nn.Linear(width, len(BACKGROUNDS))
        self.objects = nn.Linear(width, MOST_OBJECTS + 1)
        self.looks = nn.Linear(width, 2 * LOOKS)
        self.prototypes = nn.Parameter(torch.randn(glyphs, shared))
        self.prototype_scale = nn.Parameter(torch.tensor(2.5))

    def loss(self, features: torch.Tensor, facts: dict[str, torch.Tensor]) -> torch.Tensor:
        """Sum of the losses on pooled vision features (B, W); `facts` as in `batches.Batch`."""
        losses = (
            2 * _spread_loss(self.glyphs(features), facts["glyphs"]),
            5 * nn.functional.binary_cross_entropy_with_logits(self.tints(features).float(), facts["tints"]),
            0.5 * nn.functional.cross_entropy(self.background(features).float(), facts["background"]),
            4 * nn.functional.cross_entropy(self.objects(features).float(), facts["objects"]),
            8 * nn.functional.mse_loss(self.looks(features).float(), facts["looks"]),
        )
        return torch.stack(losses).sum()

    def prototype_loss(self, embedded: torch.Tensor, glyphs: torch.Tensor) -> torch.Tensor:
        """The distance of rows of the shared space (B, D) from the prototypes of their scene's glyphs (B, G)."""
        rows = nn.functional.normalize(embedded.float(), dim=-1)
        centres = nn.functional.normalize(self.prototypes.float(), dim=-1)
        return _spread_loss(self.prototype_scale.clamp(0, 3.7).exp() * rows @ centres.T, glyphs)


def _spread_loss(logits: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Cross entropy against a target that is spread evenly over the glyphs that are present."""
    target = present / present.sum(1, keepdim=True)
    return -(target * logits.float().log_softmax(1)).sum(1).mean()


def contrastive_loss(
    images: torch.Tensor, texts: torch.Tensor, also_true: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """CLIP's loss on (B, D) rows. Other pairs that are true too (`also_true` (B, B)) are left out."""
    images, texts = (nn.functional.normalize(rows.float(), dim=-1) for rows in (images, texts))
    logits = scale.exp() * texts @ images.T
    other = also_true & ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(other, -1e4)
    target = torch.arange(len(logits), device=logits.device)
    return (nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)) / 2


def counterfactual_loss(
    images: torch.Tensor, true: torch.Tensor, false: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Cross entropy of (M, D) pictures that each choose between a true and a miscounted caption.

    Paiss et al., "Teaching CLIP to Count to Ten" (arXiv:2302.12066), equation 2.
    """
    images, true, false = (nn.functional.normalize(rows.float(), dim=-1) for rows in (images, true, false))
    return nn.functional.softplus(scale.exp() * (images * (false - true)).sum(1)).mean()
