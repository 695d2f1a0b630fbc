"""The codes of an inverted file's rows, read straight from the mapped file: any rows, decoded or scored one by one."""

import ctypes
import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from app.types import Ids, Vectors


class HalfFloats:
    """Whole vectors as half floats, row by row."""

    def __init__(self, index: Any) -> None:
        flat = faiss.downcast_index(index)
        count, width = flat.ntotal, flat.code_size
        data = faiss.rev_swig_ptr(flat.codes.data(), count * width)
        self._rows = data.view(np.float16).reshape(count, flat.d)

    def decode(self, positions: Ids) -> Vectors:
        rows: Vectors = self._rows[positions].astype(np.float32)
        return rows

    def score(self, queries: Vectors, positions: Ids) -> Vectors:
        """(Q, N) inner products."""
        return queries @ self.decode(positions).T


class Residuals:
    """Eight bits a dimension of what is left of a vector without its list's centroid.

    FAISS's `QT_8bit`: value = minimum + (code + 0.5) / 255 * range, each dimension with its own. The lists lie in one
    mapped file, each as its codes and then its ids, so that rows of any lists are gathered in one step.
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

    def score(self, queries: Vectors, positions: Ids) -> Vectors:
        """(Q, N) inner products."""
        lists, codes = self.gather(positions)
        of_lists = queries @ self._centroids.T + (queries @ self._low[:, None])
        scores: Vectors = of_lists[:, lists] + np.matmul(queries * self._scale, codes.astype(np.float32).T)
        return scores

    def gather(self, positions: Ids) -> tuple[Ids, NDArray[np.uint8]]:
        """The list and the code of each row."""
        lists = np.searchsorted(self._offsets, positions, side="right") - 1
        return lists, self._codes[self._starts[lists] + (positions - self._offsets[lists]) * self._step]
