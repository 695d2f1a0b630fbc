"""The codes of an inverted file's rows, read from the mapped file: any rows can be decoded or scored one by one."""

import ctypes
import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from app.types import Ids, Vectors
from app.vectors.faiss.flat import Found, inner_products


class HalfFloats:
    """Whole vectors as half floats, row by row."""

    def __init__(self, index: Any) -> None:
        flat = faiss.downcast_index(index)
        self._dimension = flat.d
        self._rows = _rows_of(flat, flat.ntotal)

    def decode(self, positions: Ids) -> Vectors:
        rows: Vectors = self._rows[positions].view(np.float16).astype(np.float32)
        return rows

    def nearest(self, queries: Vectors, k: int, positions: Ids) -> Found:
        """The best k of these rows for each query (Q, D): FAISS multiplies half floats three times as fast as NumPy."""
        if not k:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        some = faiss.IndexScalarQuantizer(self._dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        some.codes.resize(len(positions) * some.code_size)
        some.ntotal = len(positions)
        np.take(self._rows, positions, axis=0, out=_rows_of(some, len(positions)), mode="clip")
        faiss.omp_set_num_threads(1)  # of this thread: other threads search at the same time
        scores, places = some.search(queries, k)
        return scores, positions[places]


class Residuals:
    """Eight bits a dimension of the residual, the difference between a vector and its list's centroid.

    FAISS's `QT_8bit`: value = minimum + (code + 0.5) / 255 * range, each dimension with its own. The lists lie in one
    mapped file, each as its codes and then its ids, so rows of any lists are gathered in one step.
    """

    def __init__(self, ivf: Any, offsets: Ids, centroids: Vectors) -> None:
        lists = faiss.downcast_InvertedLists(ivf.invlists)
        if not isinstance(lists, faiss.OnDiskInvertedLists):
            raise TypeError("the lists of this index are not mapped: read it with IO_FLAG_MMAP")
        width = ivf.code_size
        self._offsets, self._centroids = offsets, centroids
        starts = np.array([int(lists.get_codes(number)) for number in range(ivf.nlist)], np.int64)
        sizes = np.diff(offsets)
        used = sizes > 0
        first = int(starts[used].min())
        end = int((starts + sizes * (width + 8))[used].max())
        unit = math.gcd(width, 8)
        self._starts = np.where(used, starts - first, 0) // unit
        self._step = width // unit
        region = np.ctypeslib.as_array((ctypes.c_uint8 * (end - first)).from_address(first))
        self._codes = np.lib.stride_tricks.as_strided(
            region, ((end - first - width) // unit + 1, width), (unit, 1), writeable=False
        )
        low, span = np.split(faiss.vector_to_array(ivf.sq.trained), 2)
        self._scale: Vectors = (span / 255).astype(np.float32)
        self._low: Vectors = (low + span / 510).astype(np.float32)

    def decode(self, positions: Ids) -> Vectors:
        lists, codes = self.gather(positions)
        return self._centroids[lists] + self._low + codes.astype(np.float32) * self._scale

    def nearest(self, queries: Vectors, k: int, positions: Ids) -> Found:
        """The best k of these rows for each query (Q, D)."""
        lists, codes = self.gather(positions)
        of_lists = inner_products(queries, self._centroids) + inner_products(queries, self._low[None])
        scores: Vectors = of_lists[:, lists] + inner_products(queries * self._scale, codes.astype(np.float32))
        if k < len(positions):
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        else:
            best = np.broadcast_to(np.arange(k), (len(queries), k))
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        return np.take_along_axis(scores, best, 1), positions[best]

    def gather(self, positions: Ids) -> tuple[Ids, NDArray[np.uint8]]:
        """The list and the code of each row."""
        lists = np.searchsorted(self._offsets, positions, side="right") - 1
        return lists, self._codes[self._starts[lists] + (positions - self._offsets[lists]) * self._step]


def _rows_of(index: Any, count: int) -> NDArray[np.uint8]:
    """The codes that an index keeps one after another, as (count, bytes of a row) that share its memory."""
    data = faiss.rev_swig_ptr(index.codes.data(), count * index.code_size)
    rows: NDArray[np.uint8] = data.view(np.uint8).reshape(count, index.code_size)
    return rows
