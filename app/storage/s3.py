"""Object storage in a bucket of S3, or of any server with the same protocol (`AWS_ENDPOINT_URL`).

boto3 itself reads credentials, region and endpoint (`AWS_*` variables, profiles). The SDK retries temporary errors
(timeouts, 5xx, throttling). Any other error becomes one of ours, which names the variable to set.

A conditional write is a single PUT, and the server checks the condition before it stores anything. The SDK retries it
like any other request. So if the reply to a successful write is lost, the retry finds the new object and reports
`PreconditionFailed`, see `ObjectStore.put`.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from app.errors import InvalidInput, InvalidSettings, ObjectNotFound, PreconditionFailed
from app.settings import StorageSettings
from app.storage.base import (
    EVERYTHING,
    ObjectInfo,
    Selection,
    StoredObject,
    Unlisted,
    check_key,
    check_range,
    content_type_of,
    read_bounded,
)
from app.storage.s3_client import BrokenReply, OddReply, S3Connection, field
from app.storage.s3_encoding import is_packed, stream_unpacked, unpack
from app.storage.s3_errors import answered, is_lost, status_of, unreached

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

log = logging.getLogger(__name__)

LISTING = "ListObjectsV2"

CUT_OFF = (BrokenReply, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
"""The connection broke while the body was read; the SDK does not retry this."""


class S3Store:
    """The `ObjectStore` of `s3://bucket` and `s3://bucket/prefix`; keys are relative to the prefix.

    No credentials are read and no connection is opened before the first request. Raises InvalidSettings.
    """

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._bucket, self._prefix = _parse(settings.url)
        self._connection = S3Connection(settings)
        self._public_base = settings.public_url.rstrip("/")
        self._quotes_etags = True
        """RFC 9110 wants quotes around an etag in If-Match; some servers compare the bare text."""

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        with self._requests(key) as s3:
            stored, encoding = self._fetch(s3, max_bytes, Key=self._name(key))
        return StoredObject(unpack(stored.data, encoding, key, max_bytes), stored.etag)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        check_range(key, start, length)
        if length == 0:
            self.head(key)
            return b""
        with self._requests(key) as s3:
            try:
                stored, _ = self._fetch(s3, None, Key=self._name(key), Range=f"bytes={start}-{start + length - 1}")
                return stored.data
            except ClientError as error:
                if status_of(error) != 416:
                    raise
                return b""

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        with self._requests(key) as s3:
            response = s3.get_object(Bucket=self._bucket, Key=self._name(key))
            with closing(response["Body"]) as body:
                yield from stream_unpacked(body, response.get("ContentEncoding", ""), key, chunk_bytes)

    def head(self, key: str) -> ObjectInfo:
        with self._requests(key) as s3:
            try:
                found = s3.head_object(Bucket=self._bucket, Key=self._name(key))
            except ClientError as error:
                if status_of(error) == 404:
                    self._check_bucket()
                raise
            size_bytes, modified = (field(found, name, "HeadObject") for name in ("ContentLength", "LastModified"))
            packed = is_packed(found.get("ContentEncoding", ""))
            return ObjectInfo(key, _etag(found, "HeadObject"), size_bytes, modified.timestamp(), packed)

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str = "application/octet-stream",
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> str:
        request = {"Bucket": self._bucket, "Key": self._name(key), "ContentType": content_type}
        with self._requests(key) as s3:
            if if_match is not None or if_none_match:
                data = body if isinstance(body, bytes) else body.read()
                if if_none_match:
                    request["IfNoneMatch"] = "*"
                return self._put_if(s3, key, {**request, "Body": data}, if_match)
            source = BytesIO(body) if isinstance(body, bytes) else body
            first = _read_full(source, self._settings.multipart_bytes)
            if len(first) < self._settings.multipart_bytes:
                return _put(s3, {**request, "Body": first})
            return self._put_parts(s3, request, first, source)

    def delete(self, key: str) -> None:
        with self._requests(key) as s3:
            s3.delete_object(Bucket=self._bucket, Key=self._name(key))

    def list(
        self, prefix: str = "", *, start_after: str = "", selection: Selection = EVERYTHING
    ) -> Iterator[ObjectInfo]:
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        if start_after:
            request["StartAfter"] = self._prefix + start_after
        with self._requests() as s3:
            for page in s3.get_paginator("list_objects_v2").paginate(**request):
                _check_page(page)
                for item in page.get("Contents", ()):
                    info = self._listed(item)
                    if not selection.excludes(info.key) and _can_be_named(info.key, selection):
                        yield info

    def url(self, key: str, expires_s: int) -> str | None:
        """The address as `STORAGE_LINKS` says: signed for `expires_s` seconds (at most a week), plain, or None."""
        name = self._name(key)
        if self._settings.links == "service":
            return None
        if self._settings.links == "public":
            return f"{self._public()}/{quote(name, safe='/~')}"
        params = {"Bucket": self._bucket, "Key": name}
        content_type = content_type_of(key)
        if content_type.startswith("image/"):
            params["ResponseContentType"] = content_type  # many objects have none, and browsers would save the picture
        with self._requests(key) as s3:
            link = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=expires_s)
            self._connection.tell_of_expiry(expires_s)
        return link

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._name(key)}"

    def _name(self, key: str) -> str:
        """The key in the bucket. Raises InvalidInput."""
        return self._prefix + check_name(key)

    def _listed(self, item: Any) -> ObjectInfo:
        """An entry of a listing. Raises OddReply."""
        name, size_bytes, modified = (field(item, each, LISTING) for each in ("Key", "Size", "LastModified"))
        return ObjectInfo(name.removeprefix(self._prefix), _etag(item, LISTING), size_bytes, modified.timestamp())

    def _fetch(self, s3: "S3Client", max_bytes: int | None, **request: Any) -> tuple[StoredObject, str]:
        """One GET with its body, and the body's encoding. Starts again when the connection breaks in the middle."""
        attempt, began = 1, time.monotonic()
        while True:
            try:
                response = s3.get_object(Bucket=self._bucket, **request)
                with closing(response["Body"]) as body:
                    data = read_bounded(cast(BinaryIO, body), request["Key"], max_bytes)
                    stored = StoredObject(data, _etag(response, "GetObject"))
                return stored, response.get("ContentEncoding", "")
            except CUT_OFF as error:
                if attempt >= self._settings.max_attempts or time.monotonic() - began >= self._settings.read_timeout_s:
                    raise
                attempt += 1
                log.info(
                    "The connection broke while s3://%s/%s was read, reading it again: %s",
                    self._bucket,
                    request["Key"],
                    error,
                )

    def _check_bucket(self) -> None:
        """Raises StorageUnavailable when the bucket is missing. A HEAD reply has no body that could say so."""
        with self._requests() as s3:
            try:
                s3.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if status_of(error) == 404:
                    raise

    def _put_if(self, s3: "S3Client", key: str, request: dict[str, Any], if_match: str | None) -> str:
        """Write if the condition holds. Raises PreconditionFailed.

        A server that refuses the right etag may want it with quotes, or without them. So the other spelling is tried
        once. If it works, it is used from then on.
        """
        quotes = self._quotes_etags
        try:
            return _put(s3, request, if_match, quotes)
        except ClientError as error:
            if not is_lost(error, if_match):
                raise
            if if_match is None or status_of(error) != 412 or not self._has(key, if_match):
                raise _lost(key) from error
        try:
            etag = _put(s3, request, if_match, not quotes)
        except ClientError as error:
            if not is_lost(error, if_match):
                raise
            raise _lost(key) from error
        self._quotes_etags = not quotes
        return etag

    def _has(self, key: str, etag: str) -> bool:
        try:
            return self.head(key).etag == etag
        except ObjectNotFound:
            return False

    def _put_parts(self, s3: "S3Client", request: dict[str, str], first: bytes, rest: BinaryIO) -> str:
        """Multipart upload with one part in memory at a time; a failed upload is aborted."""
        begun = s3.create_multipart_upload(**request)  # type: ignore[arg-type]
        upload_id = field(begun, "UploadId", "CreateMultipartUpload")
        upload = {"Bucket": self._bucket, "Key": request["Key"], "UploadId": upload_id}
        try:
            parts: list[CompletedPartTypeDef] = []
            part = first
            while part:
                number = len(parts) + 1
                sent = s3.upload_part(**upload, PartNumber=number, Body=part)
                parts.append({"PartNumber": number, "ETag": field(sent, "ETag", "UploadPart")})
                part = _read_full(rest, self._settings.multipart_bytes)
            done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self._abort(s3, upload)
            raise
        return _etag(done, "CompleteMultipartUpload")

    def _abort(self, s3: "S3Client", upload: dict[str, str]) -> None:
        try:
            s3.abort_multipart_upload(**upload)  # type: ignore[arg-type]
        except (BotoCoreError, ClientError) as error:
            log.warning(
                "The upload of s3://%s/%s could not be aborted, its parts stay in the bucket: %s",
                self._bucket,
                upload["Key"],
                error,
            )

    @contextmanager
    def _requests(self, key: str = "") -> Iterator["S3Client"]:
        """The client; its errors are translated into ours, which name `key`."""
        try:
            yield self._connection.client
        except ClientError as error:
            raise answered(error, self._bucket, key, self._connection.client.meta.region_name) from error
        except BotoCoreError as error:
            raise unreached(error, self._bucket) from error

    def _public(self) -> str:
        """The public address of the bucket, below which its objects lie."""
        if not self._public_base:
            with self._requests():
                params = {"Bucket": self._bucket, "Key": "-"}
                plain = self._connection.unsigned().generate_presigned_url("get_object", Params=params)
            self._public_base = plain.removesuffix("/-")
        return self._public_base


def _put(s3: "S3Client", request: dict[str, Any], if_match: str | None = None, quotes: bool = True) -> str:
    if if_match is not None:
        request = {**request, "IfMatch": f'"{if_match}"' if quotes else if_match}
    return _etag(s3.put_object(**request), "PutObject")


def _read_full(source: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, or fewer at the end of the source. An unbuffered source may return less than asked for."""
    data = bytearray()
    while len(data) < size and (chunk := source.read(size - len(data))):
        data += chunk
    return bytes(data)


def _parse(url: str) -> tuple[str, str]:
    """(bucket, prefix); the prefix is empty or ends with a slash. Raises InvalidSettings."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise InvalidSettings(f"STORAGE_URL={url} names no bucket. Use s3://bucket or s3://bucket/prefix.")
    prefix = prefix.strip("/")
    try:
        return bucket, f"{check_key(prefix)}/" if prefix else ""
    except InvalidInput as error:
        raise InvalidSettings(f"STORAGE_URL={url} has a prefix that can't be used. {error}") from error


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _etag(reply: Any, operation: str) -> str:
    """Raises OddReply."""
    return _bare(field(reply, "ETag", operation))


def _check_page(page: Any) -> None:
    """Raises OddReply for a page that is no listing, or that does not tell where the listing goes on.

    The SDK takes an empty body, or a web page, for an empty listing.
    """
    if not page.keys() & {"IsTruncated", "KeyCount", "MaxKeys", "Name", "Contents"}:
        raise OddReply(operation=LISTING, problem="it is no listing")
    if page.get("IsTruncated") and not page.get("NextContinuationToken"):
        raise OddReply(operation=LISTING, problem="it is not the last page, and says nothing about the next")


def check_name(key: str) -> str:
    """`key` if it can be the name of an object in S3, where `a//b`, `/a` and a backslash are legal too.

    Raises InvalidInput.
    """
    if not key or key.endswith("/"):
        raise InvalidInput(f"{key!r} is not the name of an object in a bucket: it is empty or ends with a slash.")
    check_key("/".join(part for part in key.replace("\\", "_").split("/") if part))
    return key


def _can_be_named(key: str, selection: Selection) -> bool:
    """Whether we can name the object. What we can't is reported, except for the folder placeholders of S3 consoles."""
    try:
        check_name(key)
    except InvalidInput:
        if key and not key.endswith("/"):
            reason = (
                "Its key has the part '.' or '..', which HTTP clients take out of addresses. Copy it to another key."
            )
            if selection.report:
                selection.report(Unlisted(key, reason))
            else:
                log.warning("%r is left out of the listing: %s", key, reason)
        return False
    return True


def _lost(key: str) -> PreconditionFailed:
    return PreconditionFailed(f"{key} was changed, created or removed by another writer first. Read it again.")
