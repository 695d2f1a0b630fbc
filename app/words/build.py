"""Writing a word file from what is said of the pictures.

The documents are read in blocks, each of which leaves its postings sorted by term. At the end the blocks are copied
into the order of the file.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.words.analysis import MOST_CHARS, Document, name_codes, runs_or_ends, terms_of, terms_of_run
from app.words.compounds import find_compounds
from app.words.file import Places, Weights, sorted_bytes, write_word_file
from app.words.stop_words import STOP_WORDS
from app.words.weights import CAPTION, FOLDER, NAME, TAGS, TextField, occurrence_counts, weights_of

BLOCK: Final = 65_536
"""Documents. Reading a block takes some 100 MB."""

Numbers = NDArray[np.int32]


def write_words(path: Path, documents: Iterable[Document]) -> None:
    """Write the words of `documents`; the place of each is its position. Raises OSError."""
    numbers: dict[str, int] = {}
    names = Names()
    blocks = [postings_of(block, numbers, names) for block in _blocks(documents)]
    terms = list(numbers)
    order = sorted(range(len(terms)), key=terms.__getitem__)
    terms = [terms[number] for number in order]
    text, term_ends = sorted_bytes(terms)
    posting_ends, places, weights = _merged(blocks, np.array(order, np.int64))
    wholes, parts = find_compounds(terms)
    codes, name_places = names.sorted()
    write_word_file(
        path,
        names.count,
        {
            "terms": text,
            "term_ends": term_ends,
            "posting_ends": posting_ends,
            "places": places,
            "weights": weights,
            "name_codes": codes,
            "name_places": name_places,
            "wholes": wholes,
            "parts": parts,
            "alphabetic": np.flatnonzero(np.fromiter(map(str.isalpha, terms), bool, len(terms))),
        },
    )


class Names:
    """The codes of the pictures' names."""

    def __init__(self) -> None:
        self.count = 0
        """Pictures whose names are here."""
        self._codes, self._places = array("Q"), array("i")

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            codes = name_codes(name)
            self._codes.extend(codes)
            self._places.extend([self.count] * len(codes))
            self.count += 1

    def sorted(self) -> tuple[NDArray[np.uint64], Places]:
        """`name_codes` and `name_places` of a `WordFile`."""
        codes, places = np.array(self._codes, np.uint64), np.array(self._places, np.int32)
        order = np.argsort(codes, kind="stable")
        return codes[order], places[order]


class Block(NamedTuple):
    """The postings of some documents, sorted by term."""

    terms: Numbers
    places: Places
    weights: Weights


class _Texts(NamedTuple):
    """Some texts, with the place in the block of the picture that each belongs to."""

    texts: Sequence[str]
    places: NDArray[np.int64]


def _blocks(documents: Iterable[Document]) -> Iterator[Sequence[Document]]:
    left = iter(documents)
    while block := list(islice(left, BLOCK)):
        yield block


def postings_of(block: Sequence[Document], numbers: dict[str, int], names: Names) -> Block:
    """The postings of up to `BLOCK` documents, whose places follow on those in `names`, where their names are added.

    `numbers` numbers the terms as they come.
    """
    first, called = names.count, [document.name for document in block]
    names.add(called)
    tags = _Texts(
        [tag for document in block for tag in document.tags],
        np.repeat(np.arange(len(block)), [len(document.tags) for document in block]),
    )
    folders = _Texts([document.folder for document in block], np.arange(len(block)))
    captions = _runs([(document.caption or "")[:MOST_CHARS] for document in block])
    parts = [
        _weighed(NAME, _numbered(_runs(called), terms_of_run, numbers), len(block)),
        _weighed(FOLDER, _numbered(folders, terms_of, numbers), len(block)),
        _weighed(CAPTION, _numbered(captions, _telling, numbers), len(block)),
        _weighed(TAGS, _numbered(tags, terms_of, numbers), len(block)),
    ]
    keys = np.concatenate([keys for keys, _ in parts])
    order = np.argsort(keys, kind="stable")
    keys, amounts = keys[order], np.concatenate([amounts for _, amounts in parts])[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    sums = np.add.reduceat(amounts, starts) if len(starts) else amounts
    terms, places = np.divmod(keys[starts], BLOCK)
    return Block(terms.astype(np.int32), (places + first).astype(np.int32), weights_of(sums))


def _telling(run: str) -> list[str]:
    return [term for term in terms_of_run(run) if term not in STOP_WORDS]


def _runs(texts: Sequence[str]) -> _Texts:
    """The runs of all texts, found in one pass."""
    runs = runs_or_ends(texts)
    is_end = np.fromiter(map("\n".__eq__, runs), bool, len(runs))
    return _Texts([run for run in runs if run != "\n"], np.cumsum(is_end)[~is_end])


def _numbered(
    items: _Texts, analyse: Callable[[str], list[str]], numbers: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of all terms of these texts, and the place of each. Each distinct text is analysed once."""
    distinct: defaultdict[str, int] = defaultdict()
    distinct.default_factory = distinct.__len__
    codes = np.fromiter(map(distinct.__getitem__, items.texts), np.int64, len(items.texts))
    found, sizes = array("q"), array("q")
    for text in distinct:
        terms = analyse(text)
        found.extend([numbers.setdefault(term, len(numbers)) for term in terms])
        sizes.append(len(terms))
    counts = np.array(sizes, np.int64)
    starts = np.cumsum(counts) - counts
    wanted = counts[codes]
    firsts = np.cumsum(wanted) - wanted
    positions = np.arange(int(wanted.sum())) + np.repeat(starts[codes] - firsts, wanted)
    return np.array(found, np.int64)[positions], np.repeat(items.places, wanted)


def _weighed(
    field: TextField, found: tuple[NDArray[np.int64], NDArray[np.int64]], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each occurrence of a term in one field: term and place as one sortable key, and what it counts."""
    terms, places = found
    lengths = np.bincount(places, minlength=count)
    return terms * BLOCK + places, occurrence_counts(field, lengths)[places]


def _merged(blocks: Sequence[Block], order: NDArray[np.int64]) -> tuple[NDArray[np.int64], Places, Weights]:
    """`posting_ends`, `places` and `weights` of a `WordFile` with the terms in this order."""
    sizes = np.zeros(len(order), np.int64)
    for block in blocks:
        sizes += np.bincount(block.terms, minlength=len(order))
    ends = np.cumsum(sizes[order])
    following = np.empty(len(order), np.int64)
    following[order] = ends - sizes[order]
    places, weights = np.empty(int(sizes.sum()), np.int32), np.empty(int(sizes.sum()), np.uint8)
    for block in blocks:
        starts = np.flatnonzero(np.diff(block.terms, prepend=-1))
        counts = np.diff(starts, append=len(block.terms))
        present = block.terms[starts]
        targets = np.arange(len(block.terms)) + np.repeat(following[present] - starts, counts)
        places[targets], weights[targets] = block.places, block.weights
        following[present] += counts
    return ends, places, weights
