"""Export the checkpoint of an unfinished training: `python -m scripts.train_demo_clip.checkpoint_to_model`."""

import argparse
from pathlib import Path

import torch
from transformers import CLIPModel

from scripts.train_demo_clip.export import export_model
from scripts.train_demo_clip.network import build_config
from scripts.train_demo_clip.tokens import load_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "demo-clip")
    parser.add_argument("--out", type=Path, default=Path("models/demo-clip"))
    arguments = parser.parse_args()
    tokenizer = load_tokenizer(arguments.cache / "tokenizer")
    model = CLIPModel(build_config(tokenizer))
    model.load_state_dict(torch.load(arguments.cache / "checkpoint.pt", weights_only=True)["average"])
    export_model(model, tokenizer, arguments.out)


if __name__ == "__main__":
    main()
