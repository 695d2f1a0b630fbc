"""A query whose terms are vectors: all that a search needs besides the view. No model is asked any more."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from app.encoder.encoder import IndexedPicture, PictureFile, Text
from app.errors import InvalidInput
from app.search.algebra import VectorTerm
from app.search.folders import FolderChoice
from app.search.modalities import Kind
from app.search.query import Query, Weighted
from app.types import Vectors


class Nearest(NamedTuple):
    """What was found with other queries of a batch."""

    folders: tuple[str, ...]
    depth: int
    hits: list[tuple[int, float]]
    """Row ids with cosines: what `View.nearest_rows` finds in these folders, `depth` at most."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A query as it was understood, in the folder that was chosen."""

    query: Query
    """With the texts that were embedded."""
    choice: FolderChoice | None
    vectors: tuple[Vectors, ...]
    """(D,) float32, unit length, one for each term."""
    fewer_hubs: bool = False
    """Whether pictures that are near to every text are ranked lower. All pages of a search agree on it."""
    nearest: Nearest | None = None
    """Known before the search."""

    @property
    def folders(self) -> tuple[str, ...]:
        return self.choice.paths if self.choice else ()

    @cached_property
    def terms(self) -> tuple[VectorTerm, ...]:
        """In the order of the query's terms."""
        return tuple(
            VectorTerm(kind_of(each), vector, -abs(each.weight) if each.is_minus else each.weight)
            for each, vector in zip(self.query.terms, self.vectors, strict=True)
        )

    @property
    def plus_terms(self) -> tuple[VectorTerm, ...]:
        return tuple(each for each in self.terms if each.weight > 0)

    @property
    def excluded(self) -> tuple[VectorTerm, ...]:
        """Pictures that are relevant to one of these are left out."""
        return tuple(term for each, term in zip(self.query.terms, self.terms, strict=True) if each.exclude)

    @property
    def sent_pictures(self) -> tuple[Vectors, ...]:
        """(D,) of the pictures that came with the query."""
        pairs = zip(self.query.terms, self.vectors, strict=True)
        return tuple(vector for each, vector in pairs if isinstance(each.term, PictureFile))

    @property
    def queried_ids(self) -> frozenset[str]:
        """The image ids among the terms."""
        return frozenset(each.term.image_id for each in self.query.terms if isinstance(each.term, IndexedPicture))

    @property
    def words(self) -> str:
        """What the words of the library are searched for: all texts with a positive weight. Raises InvalidInput."""
        texts = [each.term.text for each in self.query.terms if isinstance(each.term, Text) and not each.is_minus]
        if not texts:
            raise InvalidInput("Only a text can be searched by words. Leave out `mode`, or describe the picture.")
        return " ".join(sorted(texts) if len(texts) > 1 else texts)

    @property
    def minus_words(self) -> tuple[str, ...]:
        """The texts that are taken away."""
        return tuple(each.term.text for each in self.query.terms if isinstance(each.term, Text) and each.is_minus)


def kind_of(term: Weighted) -> Kind:
    return "text" if isinstance(term.term, Text) else "picture"
