"""Draw the answers of a running service, one row of pictures for each query. README.md shows such a drawing.

python scripts/draw_answer.py docs/answer.png "a red car at night" "two apples" "ein Hund am Strand"
"""

import io
import json
from pathlib import Path
from typing import Annotated, Any
from urllib.request import Request, urlopen

import typer
from PIL import Image, ImageDraw, ImageFont

TILE_PX, GAP_PX, HEADER_PX, SCORE_PX = 200, 16, 52, 28
INK, FAINT, PAPER = "#1f2933", "#7b8794", "#ffffff"


def search(url: str, query: str, k: int) -> list[dict[str, Any]]:
    """The results of one text search."""
    body = json.dumps({"query": query, "k": k}).encode()
    with urlopen(Request(f"{url}/api/v1/search/text", body, {"Content-Type": "application/json"})) as answer:
        return json.load(answer)["results"]


def thumbnail(hit: dict[str, Any]) -> Image.Image:
    """The hit's picture, cut to a square of TILE_PX."""
    with urlopen(hit["thumbnail_url"]) as answer:
        picture = Image.open(io.BytesIO(answer.read())).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side)).resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)


def draw_row(sheet: Image.Image, top: int, query: str, hits: list[dict[str, Any]]) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP_PX, top + 14), f"“{query}”", INK, ImageFont.load_default(24))
    for number, hit in enumerate(hits):
        left = GAP_PX + number * (TILE_PX + GAP_PX)
        sheet.paste(thumbnail(hit), (left, top + HEADER_PX))
        label = f"{hit['score']:.2f}  {hit['object_key'].rpartition('/')[0]}"
        pen.text((left, top + HEADER_PX + TILE_PX + 5), label, FAINT, ImageFont.load_default(15))


def main(
    out: Annotated[Path, typer.Argument(help="PNG file to write")],
    queries: Annotated[list[str], typer.Argument(help="one row for each query")],
    url: Annotated[str, typer.Option(help="address of the service")] = "http://localhost:8000",
    k: Annotated[int, typer.Option(help="pictures in a row")] = 5,
) -> None:
    """Search with each query and draw the results."""
    height = HEADER_PX + TILE_PX + SCORE_PX + GAP_PX
    sheet = Image.new("RGB", (GAP_PX + k * (TILE_PX + GAP_PX), len(queries) * height), PAPER)
    for number, query in enumerate(queries):
        draw_row(sheet, number * height, query, search(url, query, k))
    sheet.save(out, optimize=True)


if __name__ == "__main__":
    typer.run(main)
