"""Plain vector searches of a batch, found together: the index is asked once for all of the same folders and depth.

Each finds what it finds alone. What else a search does (judging, cutting, locating) it does by itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from app.catalog.hubs import depth_of
from app.catalog.view import View
from app.search.prepared import Nearest, Prepared
from app.search.query import NO_FILTERS
from app.vectors.base import FEW_QUERIES


def groups_of(queries: Mapping[int, Prepared], view: View) -> Iterator[list[int]]:
    """The numbers of queries that can be searched together, two or more each time.

    None where a server has the vectors: several queries may have other last digits there than each has alone.
    """
    same: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for number, query in queries.items():
        if view.holds_still and _is_plain(query):
            same.setdefault((query.folders, _depth(query)), []).append(number)
    for numbers in same.values():
        for first in range(0, len(numbers), FEW_QUERIES):
            if len(some := numbers[first : first + FEW_QUERIES]) > 1:
                yield some


def find_nearest(queries: Sequence[Prepared], view: View) -> list[Prepared]:
    """Plain queries of the same folders and depth, each with its nearest pictures. Raises VectorStoreUnavailable."""
    folders, depth = queries[0].folders, _depth(queries[0])
    vectors = np.stack([query.vectors[0] for query in queries])
    found = view.nearest_rows(vectors, depth, folders=folders)
    return [replace(query, nearest=Nearest(folders, depth, hits)) for query, hits in zip(queries, found, strict=True)]


def _is_plain(prepared: Prepared) -> bool:
    """Whether the query is one vector, and its first answer needs no more pictures than are asked for."""
    query = prepared.query
    return (
        query.is_plain
        and query.mode == "vector"
        and query.sort == "score"
        and query.filters == NO_FILTERS
        and not (query.caption or query.leave_out_queried or query.fold_duplicates)
    )


def _depth(prepared: Prepared) -> int:
    """As many as `finding` asks for: one more than are shown tells whether there is another page."""
    count = prepared.query.k + 1
    return depth_of(count) if prepared.fewer_hubs else count
