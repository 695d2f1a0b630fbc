"""`words.bin`: for each term the places of its pictures, and how much each picture is about it.

One file of arrays behind a JSON head, laid out as a safetensors file. The reader maps it, so that only the parts in use
take memory. A place is the position of a picture in the metadata file of the same generation.

The weight of a term in a picture is BM25F's, with fixed typical lengths in place of the library's means: so a weight
depends on nothing but the picture, and pictures of the journals are weighed alike (Robertson and Zaragoza, 2009, 3.6).
It is rounded to 1/255.
"""

import mmap
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

FORMAT: Final = "1"
"""Grows with every change of the layout, of the terms and of the weights."""

STEPS: Final = 255
"""A weight of 1 is stored as this."""

Places = NDArray[np.int32]
Weights = NDArray[np.uint8]

_DTYPES: Final = {
    "term_ends": ("I64", "<i8"),
    "posting_ends": ("I64", "<i8"),
    "name_codes": ("U64", "<u8"),
    "places": ("I32", "<i4"),
    "name_places": ("I32", "<i4"),
    "parts": ("I32", "<i4"),
    "wholes": ("I32", "<i4"),
    "alphabetic": ("I32", "<i4"),
    "weights": ("U8", "u1"),
    "terms": ("U8", "u1"),
}
"""In this order each array lies at a multiple of its item size, without gaps."""

_ALIGNMENT = 64

_STEP: Final = 64
"""Of this many terms the first is kept in memory, and the others are read to find one of them."""


class WordFileError(ValueError):
    """The file is of another version, or it is no such file."""


class Postings(NamedTuple):
    """The pictures of one term, each once."""

    places: Places
    weights: Weights


class WordFile:
    """A mapped file. Immutable, for several threads."""

    def __init__(self, count: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """`count` pictures. The arrays are:

        `terms`, (bytes) the sorted terms in UTF-8 with a newline after each; `term_ends` and `posting_ends`, (T,) where
        each term and its postings end; `places` and `weights`, (P,) the postings; `name_codes`, (M,) sorted codes of
        the pictures' names, with `name_places`; `parts` (sorted) and `wholes`, (C,) pairs of a term and a compound with
        it, as numbers of terms; `alphabetic`, the numbers of the terms that consist of letters.
        """
        self.count = count
        self._arrays = arrays

    @classmethod
    def open(cls, path: Path) -> "WordFile":
        """Map the file, which may be unlinked afterwards. Raises WordFileError, OSError."""
        if not path.stat().st_size:
            raise WordFileError("The file of the words is empty.")
        with path.open("rb") as file:
            return cls(*_read(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))

    def __len__(self) -> int:
        """How many terms there are."""
        return len(self._arrays["term_ends"])

    def find(self, term: str) -> Postings | None:
        number = self._number(term)
        if number is None:
            return None
        span = slice(self._end_before(number), self._arrays["posting_ends"][number])
        return Postings(self._arrays["places"][span], self._arrays["weights"][span])

    def has(self, term: str, places: Places) -> NDArray[np.bool_]:
        """(M,) whether each picture at `places` has the term."""
        found = self.find(term)
        if not found or not len(found.places):
            return np.zeros(len(places), bool)
        spots = np.minimum(np.searchsorted(found.places, places), len(found.places) - 1)
        has: NDArray[np.bool_] = found.places[spots] == places
        return has

    def count_of(self, term: str) -> int:
        """How many pictures have the term."""
        found = self.find(term)
        return len(found.places) if found else 0

    def starting_with(self, prefix: str, most: int) -> list[tuple[str, int]]:
        """Words of letters that begin so, each with its number of pictures; none where they are more than `most`."""
        start = prefix.encode("utf-8", "replace")
        first, last = self._place(start)[0], self._place(start + b"\xff")[0]
        alphabetic = self._arrays["alphabetic"]
        numbers = alphabetic[slice(*np.searchsorted(alphabetic, [first, last]).tolist())]
        if not 0 < len(numbers) <= most:
            return []
        terms = self._slice(first, last)
        pictures = np.diff(self._arrays["posting_ends"][first:last], prepend=self._end_before(first))[numbers - first]
        found = (terms[number].decode() for number in (numbers - first).tolist())
        return list(zip(found, pictures.tolist(), strict=True))

    def compounds_of(self, term: str, most: int) -> list[tuple[str, int]]:
        """Longer words that the term is a part of, each with its number of pictures: up to `most`, the commonest ones.

        Of equally common ones the first in the alphabet are taken.
        """
        number, parts = self._number(term), self._arrays["parts"]
        if number is None or not len(parts):
            return []
        wholes = np.unique(self._arrays["wholes"][slice(*np.searchsorted(parts, [number, number + 1]).tolist())])
        ends = self._arrays["posting_ends"]
        pictures = ends[wholes] - np.where(wholes, ends[wholes - 1], 0)
        chosen = np.argsort(-pictures, kind="stable")[:most]
        words = (self._slice(whole, whole + 1)[0].decode() for whole in wholes[chosen].tolist())
        return list(zip(words, pictures[chosen].tolist(), strict=True))

    def called(self, code: int) -> Places:
        """The places of pictures whose name has this code, one of `name_codes`."""
        codes, wanted = self._arrays["name_codes"], np.uint64(code)
        first, last = np.searchsorted(codes, wanted, "left"), np.searchsorted(codes, wanted, "right")
        found: Places = self._arrays["name_places"][first:last]
        return found

    def _end_before(self, number: int) -> int:
        """Where the postings of a term begin."""
        return int(self._arrays["posting_ends"][number - 1]) if number else 0

    @cached_property
    def _signposts(self) -> list[bytes]:
        """Every `_STEP`th term."""
        return [self._slice(number, number + 1)[0] for number in range(0, len(self), _STEP)]

    def _slice(self, first: int, last: int) -> list[bytes]:
        """The terms from `first` up to `last`, exclusive."""
        ends, text = self._arrays["term_ends"], self._arrays["terms"]
        return text[ends[first - 1] if first else 0 : ends[last - 1] - 1].tobytes().split(b"\n")

    def _place(self, term: bytes) -> tuple[int, bool]:
        """How many terms are smaller, and whether the next one is `term`."""
        first = max(0, bisect_right(self._signposts, term) - 1) * _STEP
        near = self._slice(first, min(first + _STEP, len(self))) if len(self) else []
        place = bisect_left(near, term)
        return first + place, place < len(near) and near[place] == term

    def _number(self, term: str) -> int | None:
        place, is_there = self._place(term.encode("utf-8", "replace"))
        return place if is_there else None


def write_word_file(path: Path, count: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write what `WordFile` is made of. Raises OSError."""
    columns = {name: np.ascontiguousarray(arrays[name], dtype) for name, (_, dtype) in _DTYPES.items()}
    head: dict[str, Any] = {"__metadata__": {"format": FORMAT, "pictures": str(count)}}
    offset = 0
    for name, column in columns.items():
        end = offset + column.nbytes
        head[name] = {"dtype": _DTYPES[name][0], "shape": list(column.shape), "data_offsets": [offset, end]}
        offset = end
    text = orjson.dumps(head)
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for column in columns.values():
            file.write(column.data if len(column) else b"")


def _read(data: mmap.mmap) -> tuple[int, dict[str, NDArray[Any]]]:
    try:
        (length,) = struct.unpack("<Q", data[:8])
        head = orjson.loads(data[8 : 8 + length])
        version = head["__metadata__"]["format"]
        if version != FORMAT:
            raise WordFileError(f"The words have format {version}, this version reads {FORMAT}.")
        arrays = {}
        for name, (_, dtype) in _DTYPES.items():
            start, end = head[name]["data_offsets"]
            size = (end - start) // np.dtype(dtype).itemsize
            arrays[name] = np.frombuffer(data, dtype, size, 8 + length + start)
        return int(head["__metadata__"]["pictures"]), arrays
    except WordFileError:
        raise
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise WordFileError(f"These are no words of an index: {error}.") from error


def sorted_bytes(terms: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`WordFile`'s `terms` and `term_ends`."""
    encoded = [term.encode("utf-8", "replace") for term in terms]
    ends = np.cumsum(np.fromiter((len(term) + 1 for term in encoded), np.int64, len(encoded)), dtype=np.int64)
    return np.frombuffer(b"".join(term + b"\n" for term in encoded), np.uint8), ends
