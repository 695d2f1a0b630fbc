"""Every error this project raises on purpose.

AppError
├── InvalidInput
│   ├── InvalidImage
│   ├── ImageTooLarge
│   ├── ObjectTooLarge
│   ├── UnsupportedImageType
│   ├── UrlRefused
│   ├── InvalidCursor
│   ├── ContentRefused
│   └── FetchFailed
├── NotFound
│   ├── ObjectNotFound
│   ├── ObjectArchived
│   ├── ImageNotFound
│   ├── FolderNotFound
│   ├── DeletionNotFound
│   ├── DismissalNotFound
│   ├── ModelNotFound
│   ├── SessionNotFound
│   └── JobNotFound
├── Conflict
│   ├── PreconditionFailed
│   └── IndexBusy
├── Unavailable
│   ├── StorageUnavailable
│   ├── VectorStoreUnavailable
│   ├── WebSearchUnavailable
│   ├── SessionStoreUnavailable
│   ├── RewriteFailed
│   ├── IndexNotReady
│   ├── Overloaded
│   └── StillComparing
├── PagesGone
├── IndexCorrupt
├── IndexMismatch
├── ShrinkRefused
├── ModelUnavailable
├── NotInstalled
├── NotConfigured
└── InvalidSettings

No HTTP here: `app.http.problems` maps each class to a status in one table.
The message says what was wrong and what to do.
"""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says; its class where it says nothing, as a MemoryError may."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


class AppError(Exception):
    """Base of the tree; `str(error)` is a sentence for the person who can act on it."""


class InvalidInput(AppError):
    """The caller sent something that can't be used as it is."""


class InvalidImage(InvalidInput):
    """The bytes are no picture, or a damaged one."""


class ImageTooLarge(InvalidInput):
    """More bytes or pixels than the limits allow."""


class ObjectTooLarge(InvalidInput):
    """The object has more bytes than the reader takes."""


class UnsupportedImageType(InvalidInput):
    """A file of a kind that isn't among the supported formats."""


class UrlRefused(InvalidInput):
    """An address that pictures are not fetched from."""


class InvalidCursor(InvalidInput):
    """A cursor that this service did not write, or not for this caller."""


class ContentRefused(InvalidInput):
    """A prompt that the blocklist forbids, or a result that the model's safety checker rejects."""


class FetchFailed(InvalidInput):
    """The server at an address that the caller named did not hand out a picture."""

    retry_after_s: int | None = None
    """Set where the server asked to come back later."""


class NotFound(AppError):
    """What was named does not exist."""


class ObjectNotFound(NotFound):
    """No object under that key."""


class ObjectArchived(NotFound):
    """The object's bytes lie in an archive, from which a person must restore them first."""


class ImageNotFound(NotFound):
    """No indexed picture with that id."""


class FolderNotFound(NotFound):
    """No indexed picture lies in that folder."""


class JobNotFound(NotFound):
    """No index job or import with that id."""


class DeletionNotFound(NotFound):
    """No deletion with that id, or none that can be undone any more."""


class DismissalNotFound(NotFound):
    """No dismissed group of duplicates with that id."""


class ModelNotFound(NotFound):
    """No model with that name in this service."""


class SessionNotFound(NotFound):
    """No search session with that id, or none any more, or it is another caller's."""


class Conflict(AppError):
    """Another writer or run was first."""


class PreconditionFailed(Conflict):
    """A conditional write lost: the object changed, exists already or is gone."""


class IndexBusy(Conflict):
    """Another index run holds the bucket's lock."""


class Unavailable(AppError):
    """Works later without a change by the caller."""

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageUnavailable(Unavailable):
    """The object storage did not answer, or refused."""


class VectorStoreUnavailable(Unavailable):
    """The vector server (Milvus, Chroma) did not answer, or refused."""


class WebSearchUnavailable(Unavailable):
    """The provider of pictures on the web did not answer, or takes no more searches for now."""


class SessionStoreUnavailable(Unavailable):
    """Redis, which has the search sessions, did not answer, or refused."""


class RewriteFailed(Unavailable):
    """The rewriter made no usable query, or not in time. The message is fit for clients."""


class IndexNotReady(Unavailable):
    """No generation is loaded yet."""


class Overloaded(Unavailable):
    """A bounded queue is full."""


class StillComparing(Unavailable):
    """The duplicates of this library are being looked for."""


class PagesGone(AppError):
    """The state of the index that the pages of a search show is gone."""


class IndexCorrupt(AppError):
    """A file of a generation is missing, torn or not what the pointer says."""


class IndexMismatch(AppError):
    """The index was made by another model than the one that is loaded."""


class ShrinkRefused(AppError):
    """More pictures are gone than a run may remove without a person's consent."""


class ModelUnavailable(AppError):
    """The model can't be loaded."""


class NotInstalled(AppError):
    """What was asked for needs an extra package that this installation lacks."""


class NotConfigured(AppError):
    """What was asked for needs a setting that this service lacks."""


class InvalidSettings(AppError):
    """A setting has a value that can't work."""


NO_CAPTIONER = (
    "No captioner is set. Set CAPTION_MODEL to `demo`, or to the name or folder of an image-to-text model, such as "
    "Salesforce/blip-image-captioning-base."
)
"""Of `NotConfigured`, where captions are asked for."""
