"""Python runs this at its start when the folder is in PYTHONPATH: the extra `models` is then as if not installed."""

import sys

for package in ("torch", "transformers", "nncf", "sentencepiece"):
    sys.modules[package] = None  # type: ignore[assignment]
