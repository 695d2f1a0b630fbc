"""Colour profiles, made here so that no file of another owner lies in the repository (ICC.1:2010)."""

import struct
from typing import TypeAlias

Primaries: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
"""XYZ under D50 of full red, green and blue."""

WIDE_GAMUT: Primaries = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""Those of Adobe RGB (1998)."""

DISPLAY_P3: Primaries = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""Those of telephones since 2016."""


def rgb_profile(primaries: Primaries, gamma: float = 2.2) -> bytes:
    """A matrix profile."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {
        **dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, primaries), strict=True)),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def ink_profile(cyan: tuple[float, float, float]) -> bytes:
    """Of four inks. Paper is white; cyan has this colour in CIELAB, and every other ink is black."""
    white, black = bytes((255, 128, 128)), bytes((0, 128, 128))
    colours = {0: white, 8: bytes((round(cyan[0] * 2.55), round(cyan[1]) + 128, round(cyan[2]) + 128))}
    corners = b"".join(colours.get(inks, black) for inks in range(16))
    matrix = struct.pack(">9i", *(65536 if number % 4 == 0 else 0 for number in range(9)))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + bytes(range(256)) * 4 + corners + bytes(range(256)) * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Version 2.1."""
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(12 + 67)
    tags = {b"desc": text, b"wtpt": _xyz((0.9642, 1.0, 0.8249)), **tags}
    start = 128 + 4 + 12 * len(tags)
    table, bodies = b"", b""
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    head = struct.pack(">I4sI", start + len(bodies), bytes(4), 0x02100000) + kind + space + connection
    head = head.ljust(36, b"\0") + b"acsp"
    white = struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    return (head.ljust(68, b"\0") + white).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + bodies


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(value * 65536) for value in values))
