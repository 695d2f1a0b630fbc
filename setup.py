"""Puts the built web app into the wheel, as `app/web/dist`. Everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUILT = Path("web") / "dist"


class BuildWithWebApp(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # an editable install finds it in the checkout
            return
        packaged = Path(self.build_lib) / "app" / "web" / "dist"
        shutil.rmtree(packaged, ignore_errors=True)  # an earlier build may have left files under other names
        shutil.copytree(BUILT, packaged)


setup(cmdclass={"build_py": BuildWithWebApp})
