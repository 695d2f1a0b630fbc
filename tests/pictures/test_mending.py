"""Damaged files whose pictures are nearly whole are read, and the flaw is told; those that miss more are refused."""

import pytest
from PIL import Image, ImageFile

from app.errors import InvalidImage
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings
from tests.support.pictures import assert_alike, encoded, smooth

SCENE = smooth(320, 240)


def read(data: bytes, needed: tuple[int, int] | None = None) -> Picture:
    return decode_image(data, ImageSettings(), lambda size: needed or size)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("missing", [2, 3, 10])
def test_a_jpeg_without_its_last_bytes_is_read(missing: int, subsampling: int, progressive: bool) -> None:
    file = encoded(SCENE, "JPEG", quality=90, subsampling=subsampling, progressive=progressive)
    picture = read(file[:-missing])
    assert_alike(picture.image, SCENE, within=4)
    assert picture.flaw is not None
    assert picture.flaw.startswith("The file is damaged")


@pytest.mark.parametrize("needed", [None, (40, 30)])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_that_misses_more_is_refused(share: float, progressive: bool, needed: tuple[int, int] | None) -> None:
    file = encoded(smooth(800, 600), "JPEG", quality=90, progressive=progressive)
    with pytest.raises(InvalidImage, match="damaged or cut short"):
        read(file[: int(len(file) * share)], needed)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_the_last_rows_may_be_missing(kind: str) -> None:
    scene = Image.effect_noise((100, 400), 60).convert("RGB")
    file = encoded(scene, kind, **({"compress_level": 0} if kind == "PNG" else {}))
    start = file.rindex(b"IEND") - 8 if kind == "PNG" else len(file)
    picture = read(file[: start - 100 * 3 * 4])
    assert picture.flaw is not None
    assert "% of the picture is missing" in picture.flaw
    box = (0, 8, 100, 392)
    assert_alike(picture.image.crop(box), scene.crop(box))
    with pytest.raises(InvalidImage, match="damaged or cut short"):
        read(file[: start - 100 * 3 * 20])


@pytest.mark.parametrize("kind", [b"IDAT", b"PLTE"])
def test_a_wrong_checksum_costs_nothing(kind: bytes) -> None:
    scene = SCENE.quantize(200)
    file = bytearray(encoded(scene))
    start = file.index(kind) - 4
    file[start + 8 + int.from_bytes(file[start : start + 4])] ^= 1
    assert_alike(read(bytes(file)).image, scene.convert("RGB"))


def test_pillows_own_switch_stays_off() -> None:
    read(encoded(SCENE, "JPEG")[:-2])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
