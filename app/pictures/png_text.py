"""PNG files that say in text entries how their picture was made.

The entries are the format's own `iTXt` chunks (UTF-8), which any picture viewer with a metadata view shows.
"""

import io
from collections.abc import Mapping

from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from app.errors import InvalidImage


def write_png(image: Image.Image, entries: Mapping[str, str]) -> bytes:
    """A PNG file of the picture with these text entries. Equal pictures and entries give equal bytes."""
    info = PngInfo()
    for name, text in entries.items():
        info.add_itxt(name, text)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=info)
    return file.getvalue()


def read_png_text(data: bytes) -> dict[str, str]:
    """The text entries of a PNG file, by name. Raises InvalidImage."""
    try:
        with PngImageFile(io.BytesIO(data)) as image:
            image.load()  # entries may follow the pixels
            return {name: str(text) for name, text in image.text.items()}
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidImage("This is no PNG file, or a damaged one.") from error
