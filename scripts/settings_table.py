"""Prints the settings as the Markdown table of README.md; `tests/test_readme.py` compares the two."""

from app.settings import variables


def settings_table() -> str:
    """One row for each environment variable."""
    rows = [f"| `{name}` | {f'`{default}`' if default != '' else ''} | {text} |" for name, default, text in variables()]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(settings_table())
