"""Python runs this at its start when the folder is in PYTHONPATH: the extras for models are as if not installed."""

import sys

for package in ("torch", "transformers", "nncf", "sentencepiece", "diffusers", "accelerate"):
    sys.modules[package] = None  # type: ignore[assignment]
