"""The words of the pictures of a generation: names, folders, captions and tags, for searches by full text."""

import logging
from pathlib import Path

from app.catalog import layout
from app.catalog.changes import Changes
from app.catalog.metadata import REMEDY, RecordFile
from app.catalog.pointer import FileEntry
from app.catalog.records import Records
from app.catalog.verified_files import scratch_folder, upload
from app.errors import IndexCorrupt
from app.storage.base import ObjectStore
from app.types import Ids, row_id
from app.words.analysis import Document
from app.words.base import WordBase
from app.words.build import write_words
from app.words.file import WordFile, WordFileError
from app.words.index import WordIndex

log = logging.getLogger(__name__)


def upload_words(store: ObjectStore, generation: str, path: Path, records: Records, ids: Ids) -> FileEntry:
    """Write the words of the pictures to `path` in the order of the metadata file, and put them into the bucket."""
    write_words(path, records.documents(ids))
    return upload(store, layout.words_key(generation), path)


def open_words(path: Path | None, base: RecordFile) -> WordIndex:
    """The words of a generation. Those that no file has, or one of another version, are read when they are needed.

    Raises IndexCorrupt.
    """
    file = _file_at(path)
    if file is not None and file.count != len(base):
        raise IndexCorrupt(
            f"{layout.WORDS_NAME} has the words of {file.count} pictures where {layout.METADATA_NAME} lists "
            f"{len(base)}. {REMEDY}"
        )
    return WordIndex(WordBase(file, lambda: _words_of(base), len(base)), base)


def changed_words(words: WordIndex, changes: Changes) -> WordIndex:
    """The words after these changes."""
    documents = (Document(record.object_key, record.caption, record.tags) for record in changes.added)
    return words.changed(dict(zip(changes.ids.tolist(), documents, strict=True)), set(map(row_id, changes.removed)))


def _file_at(path: Path | None) -> WordFile | None:
    if path is None:
        return None
    try:
        return WordFile.open(path)
    except WordFileError as error:
        log.info("%s The words are read again when a search needs them.", error)
        return None


def _words_of(base: RecordFile) -> WordFile:
    """The words of pictures whose generation has no file of them."""
    with scratch_folder() as folder:
        path = folder / layout.WORDS_NAME
        write_words(path, Records(base).documents(base.ids))
        return WordFile.open(path)
