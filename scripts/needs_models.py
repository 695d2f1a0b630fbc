"""Whether the settings (environment and `.env`) need the extra `models`, and it is not installed: exit code 0, else 1.

`make serve` and `make index` ask. Settings that can't be used exit with 1: the program itself says what is wrong.
"""

import sys

from app.bootstrap import make_captioner, make_rewriter
from app.errors import AppError
from app.models.extra import PackageMissing, check_installed
from app.settings import load_settings


def needs_models() -> bool:
    try:
        settings = load_settings()
        check_installed(settings.model)
        make_captioner(settings)
        make_rewriter(settings)
    except PackageMissing:
        return True
    except AppError:
        return False
    return False


if __name__ == "__main__":
    sys.exit(not needs_models())
