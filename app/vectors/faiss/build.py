"""Choosing the shape of an index, and building it in that shape."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import faiss
import numpy as np

from app.settings import VectorSettings
from app.types import Ids, Vectors
from app.vectors.base import RowReader
from app.vectors.faiss.codes import Residuals
from app.vectors.faiss.ivf import IvfIndex

FLAT_VALUES = 8_000_000
"""Rows x dimensions up to which comparing with every row takes about 2 ms."""

SQ8_ROWS = 4_000_000
"""Above it, codes of one byte a dimension take too much memory, so RaBitQ is used: one bit, and half floats on disk."""

SQ8_RECALL = 0.97
"""Above it, one byte a dimension is too coarse: on clustered data such codes reach only 0.975 to 0.99."""

SLACK = 0.7
"""An index goes back to a smaller shape only below this share of the bound, so that it does not change to and fro."""

TRAINING_ROWS = 50
"""Rows to train with, for each list."""

CHUNK_ROWS = 100_000

_METRIC, _CODES = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer

_ORDER = ("flat", "ivf_sq8", "ivf_rabitq")


def choose_shape(count: int, dimension: int, settings: VectorSettings, current: str = "flat") -> str:
    """The shape for `count` rows, unless VECTOR_SHAPE forces one; `current` stays while it nearly fits."""
    if settings.shape != "auto":
        return settings.shape
    wanted, slackened = (_shape_of(count / slack, dimension, settings.recall) for slack in (1.0, SLACK))
    return current if current == slackened and _ORDER.index(current) > _ORDER.index(wanted) else wanted


def _shape_of(count: float, dimension: int, recall: float) -> str:
    if count * dimension <= FLAT_VALUES:
        return "flat"
    return "ivf_sq8" if count <= SQ8_ROWS and recall <= SQ8_RECALL else "ivf_rabitq"


def build_ivf(shape: str, read: RowReader, count: int, dimension: int, old: IvfIndex | None = None) -> tuple[Any, Ids]:
    """An index of `count` vectors, and the (N,) order in which its lists hold them; vectors are read in chunks.

    It is trained on a sample of them, or takes over the lists of `old`.
    """
    quantizer = faiss.IndexFlatIP(dimension)
    if old is None:
        lists = number_of_lists(count)
        sample = read(_sample(count, TRAINING_ROWS * lists))
        _cluster(quantizer, sample, lists)
    else:
        sample = old.centroids
        quantizer.add(sample)
    index = _empty_index(shape, quantizer, sample)
    base = faiss.downcast_index(index.base_index) if shape == "ivf_rabitq" else index
    for chunk in _chunks(count):
        base.add_with_ids(read(chunk), chunk)
    order = _number_by_list(base.invlists)
    if base is not index:
        for chunk in _chunks(count):
            index.refine_index.add(read(order[chunk]))
    index.ntotal = count
    return index, order


def fits(old: IvfIndex, shape: str, count: int) -> bool:
    """Whether `old` can take up to `count` rows in `shape` without being trained again."""
    return old.accuracy.shape == shape and number_of_lists(count) <= 2 * old.lists and count >= len(old) // 2


def extend_sq8(old: IvfIndex, kept: Ids, vectors: Vectors) -> tuple[Any, Ids]:
    """An index of the `kept` positions of `old`, whose codes are copied, and of `vectors` (M, D).

    Also returns the (N,) order of the new index: numbers up to len(kept) stand for those, the rest for `vectors`.
    """
    source, codes_of_old = old.faiss_index, old.codes
    assert isinstance(codes_of_old, Residuals)
    assigned = _assign(source.quantizer, vectors)
    fresh = np.empty((len(vectors), source.code_size), np.uint8)
    rows = np.ascontiguousarray(vectors, np.float32)
    source.encode_vectors(len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(assigned), faiss.swig_ptr(fresh))
    lists = np.concatenate([old.list_of[kept], assigned])
    order = np.argsort(lists, kind="stable")
    bounds = np.searchsorted(lists[order], np.arange(old.lists + 1))
    index = _like(source, faiss.clone_index(faiss.downcast_index(source.quantizer)))
    for number, (start, end) in enumerate(pairwise(bounds.tolist())):
        members = order[start:end]
        codes = np.empty((end - start, source.code_size), np.uint8)
        of_old = members < len(kept)
        codes[of_old] = codes_of_old.gather(kept[members[of_old]])[1]
        codes[~of_old] = fresh[members[~of_old] - len(kept)]
        ids = np.arange(start, end)
        index.invlists.add_entries(number, end - start, faiss.swig_ptr(ids), faiss.swig_ptr(codes))
    index.ntotal = len(order)
    return index, order


def number_of_lists(count: int) -> int:
    """About four times the square root of `count`, as a power of two, with at least 40 rows in each list."""
    wanted = 1 << round(math.log2(4 * math.sqrt(max(count, 1))))
    return max(1, min(wanted, count // 40))


def _cluster(quantizer: Any, sample: Vectors, lists: int) -> None:
    means = faiss.Clustering(sample.shape[1], lists)
    means.niter, means.seed, means.spherical, means.max_points_per_centroid = 8, 1234, True, TRAINING_ROWS
    means.min_points_per_centroid = 1
    means.train(np.ascontiguousarray(sample), quantizer)


def _empty_index(shape: str, quantizer: Any, sample: Vectors) -> Any:
    dimension, lists = quantizer.d, quantizer.ntotal
    if shape == "ivf_sq8":
        index = faiss.IndexIVFScalarQuantizer(quantizer, dimension, lists, _CODES.QT_8bit, _METRIC, True)
        index.train(sample)
        return index
    base = faiss.IndexIVFRaBitQFastScan(quantizer, dimension, lists, _METRIC)
    base.train(sample)
    halves = faiss.IndexScalarQuantizer(dimension, _CODES.QT_fp16, _METRIC)
    halves.train(sample[:1])
    return faiss.IndexRefine(base, halves)


def _like(source: Any, quantizer: Any) -> Any:
    """An empty index that encodes as `source` does."""
    index = faiss.IndexIVFScalarQuantizer(quantizer, source.d, source.nlist, _CODES.QT_8bit, _METRIC, True)
    index.sq.trained = source.sq.trained
    index.is_trained = True
    return index


def _assign(quantizer: Any, vectors: Vectors) -> Ids:
    """(N,) the list of each row."""
    if not len(vectors):
        return np.empty(0, np.int64)
    _, lists = quantizer.search(np.ascontiguousarray(vectors, np.float32), 1)
    return np.ascontiguousarray(lists[:, 0])


def _number_by_list(lists: Any) -> Ids:
    """Renumber the rows list by list from 0 on; returns the (N,) numbers that they had before."""
    sizes = [lists.list_size(number) for number in range(lists.nlist)]
    before, start = np.empty(sum(sizes), np.int64), 0
    for number, size in enumerate(sizes):
        if size:
            ids = faiss.rev_swig_ptr(lists.get_ids(number), size)
            before[start : start + size] = ids
            ids[:] = np.arange(start, start + size)
            start += size
    return before


def _chunks(count: int) -> Iterator[Ids]:
    return (np.arange(start, min(start + CHUNK_ROWS, count)) for start in range(0, count, CHUNK_ROWS))


def _sample(count: int, wanted: int) -> Ids:
    if wanted >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, wanted, replace=False))
