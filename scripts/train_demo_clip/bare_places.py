"""Teach a trained model what places are called by themselves: `python -m scripts.train_demo_clip.bare_places`.

Its captions name places only as people do beside a thing, "in the snow", so "snow" alone would find anything. This last
step of the training changes the text tower only: the words of `ALONE` are drawn to where it puts the phrases of their
place, while captions and names stay where they are (distillation from the model itself, Hinton et al.,
arXiv:1503.02531). No picture is needed. It takes some minutes on two cores.
"""

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize
from tqdm import tqdm
from transformers import CLIPModel, CLIPTokenizer

from scripts.train_demo_clip.captions import BARE, EXACT, FULL, LOOSE, Captioner
from scripts.train_demo_clip.export import write_weights
from scripts.train_demo_clip.phrases import PHRASES
from scripts.train_demo_clip.scenes import Mix, ScenePlanner, find_own_colours
from scripts.train_demo_clip.sources import Sources
from scripts.train_demo_clip.sprites import load_sprites
from scripts.train_demo_clip.tokens import load_tokenizer
from scripts.train_demo_clip.vocabulary import LANGUAGES, load_vocabulary

ALONE = {
    "sky": "sky|blue sky|the sky|himmel|blauer himmel|ciel|ciel bleu|cielo|cielo azul",
    "night": "night|the night|night sky|nighttime|darkness|nacht|nachthimmel|dunkelheit|nuit|ciel nocturne|noche"
    "|oscuridad",
    "sunset": "sunset|a sunset|dusk|evening|twilight|sonnenuntergang|abend|abendrot|dämmerung|coucher de soleil|soir"
    "|crépuscule|atardecer|puesta de sol|anochecer",
    "grass": "grass|the grass|meadow|lawn|a green field|garden|gras|wiese|rasen|garten|herbe|pré|pelouse|jardin|hierba"
    "|césped|prado|jardín",
    "sea": "sea|the sea|ocean|water|meer|ozean|wasser|mer|océan|eau|mar|océano|agua",
    "sand": "sand|beach|the beach|a beach|sandy beach|desert|strand|wüste|sable|plage|désert|arena|playa|desierto",
    "snow": "snow|the snow|winter|snowy|a snowy day|snowy landscape|schnee|winterlandschaft|verschneit|neige|hiver"
    "|nieve|invierno",
    "room": "room|a room|indoors|inside|interior|zimmer|raum|drinnen|pièce|intérieur|habitación|cuarto",
}
"""By place, in the four languages."""

UNSEEN = {
    "night": "at nighttime|by night",
    "sunset": "sundown|the setting sun",
    "grass": "on the lawn|grassland",
    "sea": "the ocean|seawater",
    "sand": "a desert|at a sandy beach",
    "snow": "winter landscape|snowy weather",
}
"""Words of the exam (`sample_exams`) that are not taught."""

KEPT = 40_000
"""Captions that stay where they are."""

BATCH = 192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "demo-clip", help="folder for sprites")
    parser.add_argument("--model", type=Path, default=Path("models/demo-clip"), help="its weights are replaced")
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    tokenizer = load_tokenizer(arguments.model)
    model = CLIPModel.from_pretrained(arguments.model)
    teach(model, tokenizer, kept_texts(arguments.sources, arguments.cache), arguments.steps)
    write_weights(model, arguments.model)


def kept_texts(sources_folder: Path, cache: Path) -> list[str]:
    """Captions of planned scenes in every wording, and names, without the words that are taught."""
    sources = Sources(sources_folder)
    vocabulary = load_vocabulary(sources.emojibase)
    sheet = load_sprites(sources, vocabulary, cache)
    planner, captioner = ScenePlanner(vocabulary, sheet), Captioner(vocabulary, find_own_colours(sheet))
    rng = np.random.default_rng(0)
    texts = [glyph.names[language] for glyph in vocabulary.glyphs for language in LANGUAGES]
    texts += [
        captioner.pick_entry(number, language, rng)[0]
        for number in range(len(vocabulary.glyphs))
        for language in LANGUAGES
        for _ in range(4)
    ]
    while len(texts) < KEPT:
        scene = planner.plan(rng, Mix())
        texts += [captioner.describe(scene, rng, wording).text for wording in (FULL, LOOSE, BARE, EXACT)]
        texts.append(captioner.describe_place(scene, rng).text)
    taught = {word for words in ALONE.values() for word in words.split("|")}
    return [text for text in texts if text.casefold() not in taught]


def teach(model: CLIPModel, tokenizer: CLIPTokenizer, kept: Sequence[str], steps: int) -> None:
    """Change the text tower in place."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    before = copy.deepcopy(model).eval()
    words = [(place, word) for place, listed in ALONE.items() for word in listed.split("|")]
    phrases = [prefix for each in PHRASES.values() for prefix in each.prefixes]
    aims = torch.stack([place_vector(before, tokenizer, place) for place, _ in words])
    parameters = [*model.text_model.parameters(), *model.text_projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=5e-4, weight_decay=0.0)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-4, total_steps=steps)
    model.eval()  # no dropout: there is none, and nothing else differs
    progress = tqdm(range(steps))
    for _ in progress:
        texts = [kept[number] for number in rng.integers(len(kept), size=BATCH)]
        said = [f"{rng.choice(phrases)} {word}" if rng.random() < 0.2 else word for _, word in words]
        with torch.no_grad():
            stay = embed(before, tokenizer, texts)
        loss_kept = (1 - (embed(model, tokenizer, texts) * stay).sum(1)).mean()
        loss_words = (1 - (embed(model, tokenizer, said) * aims).sum(1)).mean()
        optimizer.zero_grad()
        (4 * loss_kept + loss_words).backward()
        optimizer.step()
        rates.step()
        progress.set_postfix(kept=f"{loss_kept.item():.4f}", words=f"{loss_words.item():.4f}")


@torch.no_grad()
def place_vector(model: CLIPModel, tokenizer: CLIPTokenizer, place: str) -> torch.Tensor:
    """(D,) at length 1: the middle of the phrases of a place in all languages."""
    phrases = [phrase for each in PHRASES.values() for phrase in each.places[place]]
    return normalize(embed(model, tokenizer, phrases).mean(0), dim=0)


def embed(model: CLIPModel, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> torch.Tensor:
    """(N, D) unit rows."""
    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    return normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=1)


if __name__ == "__main__":
    main()
