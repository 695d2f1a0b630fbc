"""Every reply that a broken server, proxy or login page may send in the place of S3 becomes an `AppError`."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal

import pytest

from app.errors import AppError, StorageUnavailable
from app.settings import StorageSettings
from app.storage.s3 import S3Store
from tests.storage.stub_s3 import Reply, StubS3, running_stub
from tests.support.s3_server import AWS_SETTINGS, UNSET

DATE = "Mon, 01 Jan 2024 00:00:00 GMT"
LISTING = b'<?xml version="1.0"?><ListBucketResult>'


def reply(
    status: str,
    body: bytes = b"",
    *,
    says_bytes: int | None = None,
    ends: Literal["close", "reset", "hang"] = "close",
    **headers: str,
) -> Reply:
    """`says_bytes` is what Content-Length says, where the body is cut."""
    length = str(len(body) if says_bytes is None else says_bytes)
    fields = {"ETag": '"x"', "Last_Modified": DATE, "Content_Length": length, "Connection": "close", **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {text}" for name, text in fields.items() if text)]
    return Reply(raw="\r\n".join([*lines, "", ""]).encode() + body, ends=ends)


def entry(key: str = "a.jpg", *, etag: str = "<ETag>x</ETag>", size: str = "1", end: str = "") -> bytes:
    modified = "<LastModified>2024-01-01T00:00:00Z</LastModified>"
    contents = f"<Contents><Key>{key}</Key>{etag}<Size>{size}</Size>{modified}</Contents>"
    return LISTING + f"{contents}{end}</ListBucketResult>".encode()


CUT_ERROR: dict[str, Any] = {"body": b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code>', "says_bytes": 500}
CUT_LISTING: dict[str, Any] = {"body": LISTING, "says_bytes": 5000}

REPLIES = {
    "404, body reset": reply("404 Not Found", **CUT_ERROR, ends="reset"),
    "404, body cut": reply("404 Not Found", **CUT_ERROR),
    "404, body hangs": reply("404 Not Found", **CUT_ERROR, ends="hang"),
    "404, HTML": reply("404 Not Found", b"<html><p>nope"),
    "403, empty": reply("403 Forbidden"),
    "400, empty": reply("400 Bad Request"),
    "503, body reset": reply("503 Slow Down", b"<Error>", says_bytes=500, ends="reset"),
    "500, HTML": reply("500 Oops", b"<h1>Oops</h1>"),
    "429, empty": reply("429 Too Many Requests"),
    "200, listing reset": reply("200 OK", **CUT_LISTING, ends="reset"),
    "200, listing cut": reply("200 OK", **CUT_LISTING),
    "200, listing hangs": reply("200 OK", **CUT_LISTING, ends="hang"),
    "200, login page": reply("200 OK", b"<html><body>Please <br> log in</body></html>"),
    "200, login page in XHTML": reply("200 OK", b"<html><body>Please log in</body></html>"),
    "200, empty": reply("200 OK"),
    "200, JSON": reply("200 OK", b'{"a":1}'),
    "200, error in the body": reply("200 OK", b"<Error><Code>InternalError</Code></Error>"),
    "204": reply("204 No Content"),
    "301 without a region": reply("301 Moved", b"<Error><Code>PermanentRedirect</Code></Error>"),
    "302 to a page": reply("302 Found", Location="http://127.0.0.1:1/x"),
    "307 to a page": reply("307 Temporary Redirect", Location="http://127.0.0.1:1/x"),
    "no HTTP": Reply(raw=b"\x16\x03\x01garbage\r\n\r\n"),
    "nothing": Reply(raw=b""),
    "200 without ETag and date": reply("200 OK", ETag="", Last_Modified=""),
    "200, date that is none": reply("200 OK", Last_Modified="yesterday"),
    "200, date in the year 99999": reply("200 OK", Last_Modified="Mon, 01 Jan 99999 00:00:00 GMT"),
    "200, length that is none": reply("200 OK", Content_Length="many"),
    "200, broken chunks": reply("200 OK", b"zz\r\n", Content_Length="", Transfer_Encoding="chunked"),
    "200, gzip that is none": reply("200 OK", b"not gzip at all", Content_Encoding="gzip"),
    "200, gzip that breaks off": reply("200 OK", b"\x1f\x8b\x08\x00", Content_Encoding="gzip"),
    "200, listed key of no Unicode": reply("200 OK", entry("a&#xFFFE;b.jpg")),
    "200, listed key with a control character": reply("200 OK", entry("a&#x1;b.jpg")),
    "200, listed without ETag": reply("200 OK", entry(etag="")),
    "200, listed size that is none": reply("200 OK", entry(size="big")),
    "200, listing that goes on nowhere": reply("200 OK", entry(end="<IsTruncated>true</IsTruncated>")),
}

CALLS: dict[str, Callable[[S3Store], object]] = {
    "get": lambda store: store.get("k"),
    "get_range": lambda store: store.get_range("k", 0, 5),
    "stream": lambda store: list(store.stream("k")),
    "head": lambda store: store.head("k"),
    "list": lambda store: list(store.list()),
    "put": lambda store: store.put("k", b"x"),
    "put_if": lambda store: store.put("k", b"x", if_match="e"),
    "put_parts": lambda store: store.put("k", b"x" * (5 << 20)),
    "delete": lambda store: store.delete("k"),
}


@pytest.fixture(scope="module")
def stub() -> Iterator[StubS3]:
    with running_stub() as stub:
        yield stub


@pytest.fixture(scope="module")
def store(stub: StubS3) -> Iterator[S3Store]:
    """One for all tests: to make a client takes as long as ten of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in UNSET:
            patch.delenv(name, raising=False)
        for name, value in {**AWS_SETTINGS, "AWS_ENDPOINT_URL": stub.url}.items():
            patch.setenv(name, value)
        store = S3Store(StorageSettings(url="s3://bucket", max_attempts=1, read_timeout_s=0.1, multipart_bytes=5 << 20))
        store.url("k", 1)  # reads the environment
        yield store


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", REPLIES)
def test_an_odd_reply_is_an_error_of_ours(stub: StubS3, store: S3Store, name: str, call: str) -> None:
    stub.answer = lambda request: REPLIES[name]
    with suppress(AppError):
        CALLS[call](store)
        assert name.startswith("20"), "an error was taken for an answer"
        assert call != "list", "what is no listing was taken for an empty one"


@pytest.mark.parametrize("call", ["get", "list", "put", "delete"])
def test_a_redirect_to_a_page_is_asked_after_once(stub: StubS3, store: S3Store, call: str) -> None:
    stub.answer = lambda request: REPLIES["302 to a page"]
    stub.requests.clear()
    with pytest.raises(StorageUnavailable, match=r"302.*AWS_ENDPOINT_URL names an S3 server"):
        CALLS[call](store)
    assert len(stub.requests) <= 2


def test_an_error_reply_that_breaks_is_read_again(stub: StubS3, aws_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stub.url)
    stub.script(REPLIES["503, body reset"], Reply(body=b"whole", headers={"ETag": '"abc"'}))
    assert S3Store(StorageSettings(url="s3://bucket")).get("a.jpg").data == b"whole"


def test_a_part_without_etag(stub: StubS3, aws_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stub.url)
    begun = Reply(body=b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
    stub.script(begun, Reply(), Reply(204))
    with pytest.raises(StorageUnavailable, match="UploadPart can't be read: it has no ETag"):
        S3Store(StorageSettings(url="s3://bucket", multipart_bytes=5 << 20)).put("k", b"x" * (5 << 20))
    assert [request.method for request in stub.requests[-3:]] == ["POST", "PUT", "DELETE"]
