"""What goes in and out of `/api/v1/duplicates`."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field

from app.http.addresses import Addresses
from app.http.openapi import Schema, utc
from app.library.duplicates.dismissals import Dismissal
from app.library.duplicates.groups import WORDS, Kind, Member, Reason
from app.library.duplicates.service import FoundGroup, Page, Wanted
from app.library.schemas import ImageInfo
from app.types import Hit

MAX_GROUPS = 100
MAX_IDS = 1000

_KIND = (
    "`bytes`: the same bytes; `photo`: the same photo, resized, recompressed, cropped a little, brightened, framed, "
    "flipped or turned by quarters; `similar`: shots of one burst, or very much alike"
)
_EXAMPLE_IDS = ["9f2c4b1d00aa37e5", "03b1f3c77d2e9a10"]


class DuplicatesQuery(Schema):
    """The query string."""

    kind: Annotated[Kind, Field(description=_KIND)] = Kind.PHOTO
    k: Annotated[int, Field(ge=1, le=MAX_GROUPS, description="how many groups, at most")] = 20
    cursor: Annotated[
        str | None, Field(max_length=200, description="`next_cursor` of the page before, with the same parameters")
    ] = None
    dismissed: Annotated[bool, Field(description="the groups that were dismissed instead of all others")] = False

    image_id: Annotated[str | None, Field(max_length=64, description="only groups with this picture in them")] = None

    def wanted(self) -> Wanted:
        return Wanted(self.kind, self.dismissed, self.image_id)


class Duplicate(Schema):
    """A picture beside the one to keep."""

    image: ImageInfo
    score: Annotated[float, Field(description="cosine with the one to keep", examples=[0.987654])]
    turned: Annotated[bool, Field(description="whether it is flipped or turned against that one")]

    @classmethod
    def of(cls, hit: Hit, member: Member, addresses: Addresses) -> Self:
        return cls(image=ImageInfo.of(hit, addresses), score=round(hit.score, 6), turned=member.turned)


class DuplicateGroup(Schema):
    id: Annotated[str, Field(description="stays the same while the group does", examples=["5d1c0a9be2f47780"])]
    kind: Kind
    burst: Annotated[bool, Field(description="of `similar`: whether they were taken one after the other")]
    keep: Annotated[ImageInfo, Field(description="the picture that we suggest to keep")]
    reason: Annotated[Reason, Field(description="; ".join(f"`{reason}`: {words}" for reason, words in WORDS.items()))]
    others: Annotated[list[Duplicate], Field(description="the best to keep first, at most 100")]
    count: Annotated[int, Field(description="pictures in the group", examples=[2])]
    freed_bytes: Annotated[int, Field(description="size of all but the one to keep", examples=[2_345_678])]
    dismissed_at: Annotated[datetime | None, Field(description="null for a group that was not dismissed")]
    dismissal_id: Annotated[str | None, Field(description="for `DELETE /duplicates/dismissals/{id}`")]

    @classmethod
    def of(cls, found: FoundGroup, addresses: Addresses) -> Self:
        group, dismissal = found.group, found.dismissal
        return cls(
            id=group.id,
            kind=group.kind,
            burst=group.is_burst,
            keep=ImageInfo.of(found.keep, addresses),
            reason=group.reason,
            others=[Duplicate.of(hit, member, addresses) for hit, member in found.others],
            count=len(group.rows),
            freed_bytes=group.freed_bytes,
            dismissed_at=utc(dismissal.dismissed_at) if dismissal else None,
            dismissal_id=dismissal.id if dismissal else None,
        )


class DuplicateList(Schema):
    model_config = ConfigDict(
        json_schema_extra={
            "description": "One page, the groups that free the most bytes first. No picture is in two kinds, except "
            "as the one to keep."
        }
    )

    groups: list[DuplicateGroup]
    count: Annotated[int, Field(description="groups of this kind in all", examples=[12])]
    freed_bytes: Annotated[int, Field(description="size of all pictures that need not be kept")]
    uncompared: Annotated[
        int,
        Field(
            description="pictures indexed by a version that made no perceptual hash: run `image2search index --details`"
        ),
    ]
    next_cursor: Annotated[str | None, Field(description="null on the last page")]
    generation: str

    @classmethod
    def of(cls, page: Page, addresses: Addresses) -> Self:
        return cls(
            groups=[DuplicateGroup.of(found, addresses) for found in page.groups],
            count=page.count,
            freed_bytes=page.freed_bytes,
            uncompared=page.uncompared,
            next_cursor=page.next_cursor,
            generation=page.generation,
        )


class Dismiss(Schema):
    """A group that is none."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "photo", "image_ids": [*_EXAMPLE_IDS]}]})

    kind: Annotated[Kind, Field(description="of the group")]
    image_ids: Annotated[
        list[str], Field(min_length=2, max_length=MAX_IDS, description="all pictures of the group, in any order")
    ]


class DismissalInfo(Schema):
    id: Annotated[str, Field(description="to undo it", examples=["5d1c0a9be2f47780"])]
    kind: Kind
    image_ids: Annotated[list[str], Field(examples=[_EXAMPLE_IDS])]
    dismissed_at: datetime

    @classmethod
    def of(cls, dismissal: Dismissal) -> Self:
        return cls(
            id=dismissal.id,
            kind=dismissal.kind,
            image_ids=dismissal.image_ids,
            dismissed_at=utc(dismissal.dismissed_at),
        )
