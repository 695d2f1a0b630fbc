"""Made-up words for full-text searches."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from app.catalog.metadata import RecordFile
from app.words.analysis import Document
from app.words.base import WordBase
from app.words.build import write_words
from app.words.file import WordFile
from app.words.index import WordIndex


def file_of(documents: Iterable[Document]) -> WordFile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words"
        write_words(path, documents)
        return WordFile.open(path)


def listing_of(documents: Mapping[int, Document]) -> RecordFile:
    """The rows and folders of these pictures, in their order, without their records."""
    folders = sorted({document.folder for document in documents.values()})
    codes = np.array([folders.index(document.folder) for document in documents.values()], np.int32)
    return RecordFile(np.array(list(documents), np.int64), folders, codes)


def index_of(pictures: Mapping[int, Document | str]) -> WordIndex:
    """The words of pictures in a word file, by row id. A text is an object key."""
    documents = {row: Document(each) if isinstance(each, str) else each for row, each in pictures.items()}
    file = file_of(documents.values())
    return WordIndex(WordBase(file, lambda: file, len(documents)), listing_of(documents))


def rows_of(hits: Sequence[tuple[int, float]]) -> list[int]:
    return [row for row, _ in hits]
