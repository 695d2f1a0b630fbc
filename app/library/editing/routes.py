"""POST, PATCH and DELETE on /images: adding, describing and deleting pictures, and bringing them back."""

from http import HTTPStatus
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends
from fastapi import Query as InQuery
from starlette.requests import Request
from starlette.responses import Response

from app.http.addresses import Addresses
from app.http.openapi import bodies, problems
from app.http.requests import (
    ViewIfAny,
    ViewSource,
    comes_from_own_pages,
    json_of,
    may_change_library,
    parsed,
    takes,
    takes_json_or_nothing,
    takes_no_parameters,
)
from app.ingest.fetching import Fetcher
from app.library.editing.adding import Adding, NewPicture
from app.library.editing.captioning import Captioning
from app.library.editing.curating import Curating, checked_caption, checked_tags
from app.library.editing.deleting import Deleting, DeletionState, Selection
from app.library.editing.schemas import (
    AddFile,
    AddUrl,
    CaptionRequest,
    DeletePictures,
    DeletionInfo,
    Description,
    RestoredInfo,
)
from app.library.routes import Pictures
from app.library.schemas import ImageInfo
from app.types import Source

router = APIRouter(prefix="/images", tags=["library"])


async def _adding(request: Request) -> Adding:
    return cast(Adding, request.state.adding)


async def _curating(request: Request) -> Curating:
    return cast(Curating, request.state.curating)


async def _captioning(request: Request) -> Captioning:
    return cast(Captioning, request.state.captioning)


async def _deleting(request: Request) -> Deleting:
    return cast(Deleting, request.state.deleting)


Adds = Annotated[Adding, Depends(_adding)]
Curates = Annotated[Curating, Depends(_curating)]
Captions = Annotated[Captioning, Depends(_captioning)]
Deletes = Annotated[Deleting, Depends(_deleting)]


async def _new_picture(request: Request) -> NewPicture:
    """The picture that the body brings or names."""
    if request.headers["content-type"].lower().startswith("application/json"):
        return await _picture_at_url(parsed(AddUrl, await json_of(request)), request.state.fetcher)
    async with request.form(max_files=1) as form:
        fields: dict[str, Any] = {name: form.getlist(name) if name == "tags" else form[name] for name in form}
        return await _picture_in_form(parsed(AddFile, fields))


async def _picture_in_form(form: AddFile) -> NewPicture:
    caption, tags = checked_caption(form.caption), checked_tags(form.tags)
    name = form.name or form.file.filename or ""
    return NewPicture(await form.file.read(), name, form.folder, caption=caption, tags=tags)


async def _picture_at_url(body: AddUrl, fetcher: Fetcher) -> NewPicture:
    caption, tags = checked_caption(body.caption), checked_tags(body.tags)
    fetched = await fetcher.fetch(body.url)
    source = Source(fetched.url)
    return NewPicture(fetched.data, body.name or fetched.name, body.folder, source, caption, tags)


@router.post(
    "",
    status_code=201,
    response_model=ImageInfo,
    dependencies=[
        Depends(may_change_library),
        Depends(takes("multipart/form-data", "application/json")),
        Depends(comes_from_own_pages),
        Depends(takes_no_parameters),
    ],
    openapi_extra=bodies(json=AddUrl, form=AddFile),
    responses={
        200: {"model": ImageInfo, "description": "The folder has a picture of the same content: this one"},
        **problems(400, 403, 408, 409, 413, 415, 422, 503),
    },
)
async def add(request: Request, response: Response, adding: Adds, library: Pictures, seen: ViewIfAny) -> ImageInfo:
    """Add a picture, as a file or by its address on the web. A search finds it when the answer is there."""
    added = await adding.add(await _new_picture(request), seen())
    if not added.is_new:
        response.status_code = HTTPStatus.OK
    response.headers["Location"] = str(request.url_for("image", image_id=added.record.image_id))
    return ImageInfo.of(await library.locate(added.record), Addresses(request))


@router.patch(
    "/{image_id}",
    dependencies=[Depends(may_change_library), Depends(takes("application/json")), Depends(takes_no_parameters)],
    responses=problems(400, 403, 404, 409, 415, 422, 503),
)
async def describe(
    image_id: str, body: Description, request: Request, *, curating: Curates, library: Pictures, view: ViewSource
) -> ImageInfo:
    """Set caption and tags. What you write stays: no model replaces it."""
    record = await curating.describe(image_id, body.words(), view())
    return ImageInfo.of(await library.locate(record), Addresses(request))


@router.post(
    "/{image_id}/caption",
    dependencies=[Depends(may_change_library), Depends(takes_json_or_nothing), Depends(takes_no_parameters)],
    responses=problems(400, 403, 404, 409, 413, 415, 422, 501, 503),
)
async def write_caption(
    image_id: str,
    request: Request,
    *,
    captioning: Captions,
    library: Pictures,
    view: ViewSource,
    body: CaptionRequest | None = None,
) -> ImageInfo:
    """Let the captioner describe a picture now. What a person wrote stays, unless `replace` is sent."""
    options = body or CaptionRequest()
    record = await captioning.write(image_id, view(), replace_words=options.replace)
    return ImageInfo.of(await library.locate(record), Addresses(request))


@router.delete("/{image_id}", dependencies=[Depends(may_change_library)], responses=problems(403, 404, 409, 422, 503))
async def delete(
    image_id: str,
    deleting: Deletes,
    view: ViewSource,
    permanently: Annotated[bool, InQuery(description="keep nothing in the trash")] = False,
) -> DeletionInfo:
    """Delete one picture: file, thumbnails and its place in the index."""
    seen = view()
    seen.record(image_id)
    selected = await deleting.select(Selection(image_ids=(image_id,)), seen)
    return DeletionInfo.of(await deleting.delete(selected, seen, permanently=permanently))


@router.post(
    "/deletions",
    dependencies=[Depends(may_change_library), Depends(takes("application/json")), Depends(takes_no_parameters)],
    responses={
        202: {"model": DeletionInfo, "description": "It goes on; `Location` says where to ask how far it is"},
        **problems(400, 403, 409, 415, 422, 503),
    },
)
async def delete_many(
    body: DeletePictures, request: Request, response: Response, deleting: Deletes, view: ViewSource
) -> DeletionInfo:
    """Delete many pictures: by their ids, or all that fit filters and a query. `dry_run` only counts them."""
    seen = view()
    selected = await deleting.select(body.selection(), seen)
    if body.dry_run:
        return DeletionInfo.of_dry_run(selected)
    deletion = await deleting.delete(selected, seen, permanently=body.permanently)
    if deletion.state is DeletionState.RUNNING:
        response.status_code = HTTPStatus.ACCEPTED
        response.headers["Location"] = str(request.url_for("deletion", deletion_id=deletion.id))
    return DeletionInfo.of(deletion)


@router.get("/deletions/{deletion_id}", dependencies=[Depends(takes_no_parameters)], responses=problems(404, 422, 503))
async def deletion(deletion_id: str, deleting: Deletes) -> DeletionInfo:
    """How far a deletion is, and whether it can be undone."""
    return DeletionInfo.of(await deleting.find(deletion_id))


@router.post(
    "/deletions/{deletion_id}/undo",
    dependencies=[Depends(may_change_library), Depends(takes_json_or_nothing), Depends(takes_no_parameters)],
    responses=problems(403, 404, 409, 415, 422, 503),
)
async def undo(deletion_id: str, deleting: Deletes, seen: ViewIfAny) -> RestoredInfo:
    """Bring back what a deletion took: files and index. A search finds them when the answer is there."""
    restored = await deleting.restore(deletion_id, seen())
    return RestoredInfo(
        restored=[record.image_id for record in restored.records],
        lost=list(restored.lost),
    )
