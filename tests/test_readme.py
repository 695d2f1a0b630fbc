"""README.md says what is true: its settings table is current and the commands it gives exist."""

import re
from pathlib import Path

from scripts.settings_table import settings_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_settings_table_is_current() -> None:
    assert settings_table() in README, "README's settings table is not current: run `python -m scripts.settings_table`"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"README runs make {target}"
