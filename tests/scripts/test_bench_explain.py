"""The benchmark of heat maps prints a row for each way, and chance."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.bench_explain import CELLS, SIDE_PX, Case, main


def test_ways_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    main(Path("samples"), pictures=1, seed=0, model="demo")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 5 + 1


def test_the_middle_of_the_hottest_cell_decides() -> None:
    step = SIDE_PX // CELLS
    case = Case(Image.new("RGB", (SIDE_PX, SIDE_PX)), "a cat", (step, 0, 2 * step, step))
    heat = np.zeros((CELLS, CELLS), np.float32)
    heat[0, 1] = 1
    assert case.holds(heat)
    heat[1, 1] = 2
    assert not case.holds(heat)
