"""Object storage in a bucket of S3, or of any server with the same protocol (`AWS_ENDPOINT_URL`).

boto3 itself reads credentials, region and endpoint (`AWS_*` variables, profiles). The SDK retries temporary errors
(timeouts, 5xx, throttling). Any other error becomes one of ours, which names the variable to set.

A conditional write is a single PUT, and the server checks the condition before it stores anything. The SDK retries it
like any other request. So if the reply to a successful write is lost, the retry finds the new object and reports
`PreconditionFailed`, see `ObjectStore.put`.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from urllib.parse import quote, urlsplit

from boto3.session import Session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from app.errors import InvalidInput, InvalidSettings, ObjectNotFound, PreconditionFailed
from app.settings import StorageSettings
from app.storage.base import ObjectInfo, StoredObject, check_key, check_range
from app.storage.s3_errors import answered, is_lost, status_of, unreached

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

log = logging.getLogger(__name__)

CUT_OFF = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
"""The connection broke while the body was read; the SDK does not retry this."""


class S3Store:
    """The `ObjectStore` of `s3://bucket` and `s3://bucket/prefix`; keys are relative to the prefix.

    No credentials are read and no connection is opened before the first request. Raises InvalidSettings.
    """

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._bucket, self._prefix = _parse(settings.url)
        self._opening = threading.Lock()
        self._opened: S3Client | None = None
        self._public_base = settings.public_url.rstrip("/")
        self._quotes_etags = True
        """RFC 9110 wants quotes around an etag in If-Match; some servers compare the bare text."""

    def get(self, key: str) -> StoredObject:
        with self._requests(key) as s3:
            return self._fetch(s3, Key=self._name(key))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        check_range(key, start, length)
        if length == 0:
            self.head(key)
            return b""
        with self._requests(key) as s3:
            try:
                return self._fetch(s3, Key=self._name(key), Range=f"bytes={start}-{start + length - 1}").data
            except ClientError as error:
                if status_of(error) != 416:
                    raise
                return b""

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        with self._requests(key) as s3:
            response = s3.get_object(Bucket=self._bucket, Key=self._name(key))
            with closing(response["Body"]) as body:
                while chunk := body.read(chunk_bytes):
                    yield chunk

    def head(self, key: str) -> ObjectInfo:
        with self._requests(key) as s3:
            try:
                found = s3.head_object(Bucket=self._bucket, Key=self._name(key))
            except ClientError as error:
                if status_of(error) == 404:
                    self._check_bucket()
                raise
        return ObjectInfo(key, _bare(found["ETag"]), found["ContentLength"], found["LastModified"].timestamp())

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

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        if start_after:
            request["StartAfter"] = self._prefix + start_after
        with self._requests() as s3:
            for page in s3.get_paginator("list_objects_v2").paginate(**request):
                for item in page.get("Contents", ()):
                    key = item["Key"].removeprefix(self._prefix)
                    if _is_key(key):
                        yield ObjectInfo(key, _bare(item["ETag"]), item["Size"], item["LastModified"].timestamp())

    def url(self, key: str, expires_s: int) -> str | None:
        """The address as `STORAGE_LINKS` says: signed for `expires_s` seconds (at most a week), plain, or None."""
        name = self._name(key)
        if self._settings.links == "service":
            return None
        if self._settings.links == "public":
            return f"{self._public()}/{quote(name, safe='/~')}"
        with self._requests(key) as s3:
            params = {"Bucket": self._bucket, "Key": name}
            return s3.generate_presigned_url("get_object", Params=params, ExpiresIn=expires_s)

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._name(key)}"

    def _name(self, key: str) -> str:
        """The key in the bucket. Raises InvalidInput."""
        return self._prefix + check_key(key)

    def _fetch(self, s3: "S3Client", **request: Any) -> StoredObject:
        """One GET with its body. Starts again when the connection breaks in the middle."""
        attempt = 1
        while True:
            response = s3.get_object(Bucket=self._bucket, **request)
            try:
                with closing(response["Body"]) as body:
                    return StoredObject(body.read(), _bare(response["ETag"]))
            except CUT_OFF as error:
                if attempt >= self._settings.max_attempts:
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
        upload_id = s3.create_multipart_upload(**request)["UploadId"]  # type: ignore[arg-type]
        upload = {"Bucket": self._bucket, "Key": request["Key"], "UploadId": upload_id}
        try:
            parts: list[CompletedPartTypeDef] = []
            part = first
            while part:
                number = len(parts) + 1
                sent = s3.upload_part(**upload, PartNumber=number, Body=part)  # type: ignore[arg-type]
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
                part = _read_full(rest, self._settings.multipart_bytes)
            done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})  # type: ignore[arg-type]
        except BaseException:
            self._abort(s3, upload)
            raise
        return _bare(done["ETag"])

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
            yield self._client()
        except ClientError as error:
            raise answered(error, self._bucket, key) from error
        except BotoCoreError as error:
            raise unreached(error, self._bucket) from error

    def _client(self) -> "S3Client":
        with self._opening:
            if self._opened is None:
                self._opened = self._open("s3v4")
            return self._opened

    def _public(self) -> str:
        """The public address of the bucket, below which its objects lie."""
        if not self._public_base:
            with self._requests():
                params = {"Bucket": self._bucket, "Key": "-"}
                plain = self._open(UNSIGNED).generate_presigned_url("get_object", Params=params)
            self._public_base = plain.removesuffix("/-")
        return self._public_base

    def _open(self, signature: Any) -> "S3Client":
        """A new client, not connected yet. Raises InvalidSettings."""
        session = Session()
        config = Config(
            signature_version=signature,
            connect_timeout=self._settings.connect_timeout_s,
            read_timeout=self._settings.read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": self._settings.max_attempts},
            max_pool_connections=self._settings.connections,
            tcp_keepalive=True,
            request_checksum_calculation="when_required",  # other servers reject the SDK's default checksums
            response_checksum_validation="when_required",
        )
        try:
            addressing = _addressing(session.client("s3", config=config))
            return session.client("s3", config=config.merge(Config(s3={"addressing_style": addressing})))
        except ValueError as error:
            raise InvalidSettings(
                f"AWS_ENDPOINT_URL can't be used: {error}. Give an address like http://host:9000."
            ) from error


def _put(s3: "S3Client", request: dict[str, Any], if_match: str | None = None, quotes: bool = True) -> str:
    if if_match is not None:
        request = {**request, "IfMatch": f'"{if_match}"' if quotes else if_match}
    return _bare(s3.put_object(**request)["ETag"])


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


def _addressing(client: "S3Client") -> Literal["auto", "path", "virtual"]:
    """How a bucket is addressed: as the profile's `addressing_style` says, else `virtual` at AWS and `path` elsewhere.

    A private server has no host name for each bucket, so `path`. At AWS the SDK's `auto` would sign links to the global
    endpoint. That redirects to the bucket's region, where the signature is wrong.
    """
    chosen: Literal["auto", "path", "virtual"] | None = (client.meta.config.s3 or {}).get("addressing_style")  # type: ignore[attr-defined]
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return chosen or ("virtual" if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else "path")


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _is_key(name: str) -> bool:
    """Whether we can name the object. We can't name the folder placeholders of S3 consoles (`a/`)."""
    try:
        check_key(name)
    except InvalidInput as error:
        if not name.endswith("/") and name:
            log.warning("An object is left out of the listing: %s", error)
        return False
    return True


def _lost(key: str) -> PreconditionFailed:
    return PreconditionFailed(f"{key} was changed, created or removed by another writer first. Read it again.")
