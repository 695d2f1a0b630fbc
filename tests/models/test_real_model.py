"""A small trained model and real photographs, where they lie beside the repository."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import InvalidImage
from app.models.choose import load_embedder
from app.models.embedder import DualEncoder
from app.pictures.decoding import decode_image
from app.settings import ImageSettings, ModelSettings

SHARED = Path(__file__).parents[2] / ".." / "shared"
MODEL = SHARED / "models" / "mini-dual-encoder"
PHOTOS = SHARED / "photos" / "flickr8k"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (MODEL.is_dir() and PHOTOS.is_dir()),
        reason="no ../shared/models/mini-dual-encoder and ../shared/photos/flickr8k beside the repository",
    ),
]


@pytest.fixture(scope="module")
def embedder() -> DualEncoder:
    return load_embedder(ModelSettings(name=str(MODEL), device="cpu"))


def read(path: Path) -> Image.Image:
    return decode_image(path.read_bytes(), ImageSettings()).image


def captioned(count: int) -> Iterator[tuple[Path, str]]:
    """`count` pictures, spread over the whole set, each with its first caption."""
    with (PHOTOS / "captions.csv").open(newline="") as file:
        captions = {row["image"]: row["caption"] for row in reversed(list(csv.DictReader(file)))}
    present = [name for name in sorted(captions) if (PHOTOS / name).is_file()]
    for name in present[:: max(1, len(present) // count)][:count]:
        yield PHOTOS / name, captions[name]


def test_captions_find_their_photographs(embedder: DualEncoder) -> None:
    paths, captions = zip(*captioned(200), strict=True)
    images = embedder.encode_images([embedder.read_picture(path.read_bytes(), ImageSettings()).image for path in paths])
    scores = embedder.encode_texts(captions) @ images.T
    ranks = (scores > scores.diagonal()[:, None]).sum(axis=1)
    assert (ranks < 10).mean() > 0.7  # measured 1.0; by chance 0.05
    assert np.median(ranks) < 5  # measured 0; by chance 100


def test_the_eight_orientations_of_one_photograph_have_one_vector(embedder: DualEncoder) -> None:
    path, _ = next(captioned(1))
    upright = read(path)
    undo = [None, "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE"]
    undo.append("ROTATE_270")
    variants = []
    for orientation, turn in enumerate(undo, start=1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        stored = upright.transpose(Image.Transpose[turn]) if turn else upright
        stored.save(buffer, "PNG", exif=exif, compress_level=1)
        variants.append(decode_image(buffer.getvalue(), ImageSettings()).image)
    vectors = embedder.encode_images(variants)
    np.testing.assert_allclose(vectors, np.tile(vectors[0], (8, 1)), atol=1e-5)
    assert vectors[0] @ embedder.encode_images([upright.transpose(Image.Transpose.ROTATE_180)])[0] < 0.99


def test_a_query_picture_gets_the_vector_that_the_index_has(embedder: DualEncoder) -> None:
    pictures = [embedder.read_picture(path.read_bytes(), ImageSettings()).image for path, _ in captioned(9)]
    indexed = embedder.encode_images(pictures)
    queried = np.concatenate([embedder.encode_images([picture]) for picture in pictures])
    np.testing.assert_allclose(queried, indexed, atol=2e-5)


def test_truncated_photographs_are_invalid() -> None:
    path, _ = next(captioned(1))
    data = path.read_bytes()
    for length in (100, 1000, len(data) // 2, len(data) - 500):
        with pytest.raises(InvalidImage):
            decode_image(data[:length], ImageSettings())
