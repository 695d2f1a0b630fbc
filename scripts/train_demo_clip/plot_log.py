"""Draw the training log as an SVG curve: `python -m scripts.train_demo_clip.plot_log LOG.jsonl CURVE.svg`."""

import argparse
import json
from pathlib import Path

_WIDTH, _HEIGHT, _MARGIN = 720, 320, 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("curve", type=Path)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.log.read_text().splitlines()]
    arguments.curve.write_text(draw_curve([(row["images"] / 1000, row["loss"]) for row in rows]))


def draw_curve(points: list[tuple[float, float]]) -> str:
    """An SVG of loss over thousands of images."""
    most_x, most_y = points[-1][0], max(y for _, y in points)
    path = " ".join(f"{_x(x, most_x):.1f},{_y(y, most_y):.1f}" for x, y in points)
    step = 2 if most_y > 3 else 0.2
    marks = [_mark_y(number * step, most_y) for number in range(int(most_y / step) + 1)]
    marks += [_mark_x(most_x * share / 4, most_x) for share in range(5)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>{"".join(marks)}'
        f'<polyline points="{path}" fill="none" stroke="#2b6cb0" stroke-width="2"/>'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle">thousand images</text>'
        f'<text x="14" y="{_HEIGHT / 2}" transform="rotate(-90 14 {_HEIGHT / 2})" text-anchor="middle">loss</text>'
        "</svg>\n"
    )


def _x(value: float, most: float) -> float:
    return _MARGIN + (_WIDTH - 2 * _MARGIN) * value / most


def _y(value: float, most: float) -> float:
    return _HEIGHT - _MARGIN - (_HEIGHT - 1.5 * _MARGIN) * value / most


def _mark_y(value: float, most: float) -> str:
    y = _y(value, most)
    line = f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
    return f'{line}<text x="{_MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'


def _mark_x(value: float, most: float) -> str:
    return f'<text x="{_x(value, most):.1f}" y="{_HEIGHT - _MARGIN + 16}" text-anchor="middle">{value:.0f}</text>'


if __name__ == "__main__":
    main()
