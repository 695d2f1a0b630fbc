"""S3 and servers like it: faults, differences between servers, and the addresses of objects."""

import gzip
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3.session
import pytest

from app.errors import (
    InvalidInput,
    InvalidSettings,
    ObjectArchived,
    ObjectNotFound,
    PreconditionFailed,
    StorageUnavailable,
)
from app.settings import StorageSettings
from app.storage import s3_encoding
from app.storage.base import Selection, Unlisted
from app.storage.s3 import S3Store
from tests.storage.stub_s3 import Reply, Request, StubS3, error, etag_of, running_stub

MODIFIED = datetime(2026, 1, 2, tzinfo=UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


@pytest.fixture
def stub(aws_env: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubS3]:
    with running_stub() as stub:
        monkeypatch.setenv("AWS_ENDPOINT_URL", stub.url)
        yield stub


def open_store(url: str = "s3://bucket", **settings: Any) -> S3Store:
    return S3Store(StorageSettings(url=url, **settings))


def written(body: bytes) -> Reply:
    return Reply(headers={"ETag": etag_of(body)})


class OneObject:
    """A server with a single object. It compares If-Match with the text of the etag."""

    def __init__(self, body: bytes, *, quoted: bool) -> None:
        self.body = body
        self.quoted = quoted

    def __call__(self, request: Request) -> Reply:
        etag = etag_of(self.body)
        if request.method == "PUT":
            if request.headers.get("if-match") != (etag if self.quoted else etag.strip('"')):
                return error(412, "PreconditionFailed")
            self.body = request.body
            return written(self.body)
        return Reply(body=self.body, headers={"ETag": etag, "Last-Modified": MODIFIED})


# Conditional writes


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "ConditionalRequestConflict"), (404, "NoSuchKey"), (412, "PreconditionFailed")],
)
def test_every_way_of_losing_an_if_match(stub: StubS3, status: int, code: str) -> None:
    def answer(request: Request) -> Reply:
        if request.method == "PUT":
            return error(status, code)
        return Reply(404) if "pointer" in request.path else Reply()

    stub.answer = answer
    with pytest.raises(PreconditionFailed, match=r"pointer\.json"):
        open_store().put("pointer.json", b"new", if_match="abc")
    assert [request.headers["if-match"] for request in stub.sent("PUT")] == ['"abc"']


@pytest.mark.parametrize(("status", "code"), [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed")])
def test_every_way_of_losing_a_creation(stub: StubS3, status: int, code: str) -> None:
    stub.script(error(status, code))
    with pytest.raises(PreconditionFailed):
        open_store().put("pointer.json", b"new", if_none_match=True)
    assert stub.requests[0].headers["if-none-match"] == "*"


def test_a_missing_bucket_is_no_lost_race(stub: StubS3) -> None:
    stub.script(error(404, "NoSuchBucket"))
    with pytest.raises(StorageUnavailable, match="Create the bucket"):
        open_store().put("pointer.json", b"new", if_match="abc")


def test_a_winner_whose_reply_was_lost_is_told_so_and_finds_its_own_body(stub: StubS3) -> None:
    """The connection breaks, the SDK sends the PUT again, and the server refuses it: the etag is the new one."""
    server = OneObject(b"old", quoted=True)

    def answer(request: Request) -> Reply:
        reply = server(request)
        return Reply(cut_after=-1) if len(stub.sent("PUT")) == 1 and request.method == "PUT" else reply

    stub.answer = answer
    store = open_store()
    with pytest.raises(PreconditionFailed):
        store.put("pointer.json", b"my token", if_match=etag_of(b"old").strip('"'))
    assert len(stub.sent("PUT")) == 2
    assert store.get("pointer.json").data == b"my token"


def test_a_server_that_wants_the_etag_bare_is_understood_and_remembered(stub: StubS3) -> None:
    stub.answer = OneObject(b"1", quoted=False)
    store = open_store()
    second = store.put("pointer.json", b"2", if_match=store.get("pointer.json").etag)
    assert len(stub.sent("PUT")) == 2
    store.put("pointer.json", b"3", if_match=second)
    assert len(stub.sent("PUT")) == 3
    assert store.get("pointer.json").data == b"3"


def test_a_real_loser_writes_nothing_with_or_without_quotes(stub: StubS3) -> None:
    stub.answer = OneObject(b"theirs", quoted=False)
    with pytest.raises(PreconditionFailed):
        open_store().put("pointer.json", b"mine", if_match="stale")
    assert len(stub.sent("PUT")) == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(error(412, "PreconditionFailed"), PreconditionFailed), (error(403, "AccessDenied"), StorageUnavailable)],
)
def test_a_second_spelling_that_fails_too(stub: StubS3, reply: Reply, expected: type[Exception]) -> None:
    head = Reply(headers={"ETag": '"abc"', "Last-Modified": MODIFIED})
    stub.script(error(412, "PreconditionFailed"), head, reply)
    with pytest.raises(expected):
        open_store().put("pointer.json", b"mine", if_match="abc")


def test_two_processes_race_on_one_object(bucket: str) -> None:
    racer = Path(__file__).with_name("racer.py")
    open_store(f"s3://{bucket}").put("counter", b"0")
    command = [sys.executable, str(racer), f"s3://{bucket}", "counter", "25"]
    racers = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "."}) for _ in range(2)]
    assert [racer.wait(60) for racer in racers] == [0, 0]
    assert open_store(f"s3://{bucket}").get("counter").data == b"50"


# Errors that are temporary, and errors that are not


def test_slow_down_is_waited_out(stub: StubS3) -> None:
    stub.script(error(503, "SlowDown"), written(b"x"))
    assert open_store().put("a.jpg", b"x") == etag_of(b"x").strip('"')


def test_a_server_that_stays_down(stub: StubS3) -> None:
    stub.answer = lambda request: error(503, "ServiceUnavailable")
    with pytest.raises(StorageUnavailable, match=r"ServiceUnavailable \(503\)\. Try again later"):
        open_store(max_attempts=2).get("a.jpg")
    assert len(stub.requests) == 2


@pytest.mark.parametrize("act", ["get", "put", "list", "head", "delete"])
def test_a_hanging_server_is_given_up(stub: StubS3, act: str) -> None:
    stub.answer = lambda request: Reply(waits=True)
    store = open_store(max_attempts=1, read_timeout_s=0.2)
    started = time.monotonic()
    with pytest.raises(StorageUnavailable, match="AWS_ENDPOINT_URL"):
        {
            "get": lambda: store.get("a"),
            "put": lambda: store.put("a", b"x"),
            "list": lambda: list(store.list()),
            "head": lambda: store.head("a"),
            "delete": lambda: store.delete("a"),
        }[act]()
    assert time.monotonic() - started < 10


def test_a_black_hole_is_given_up_after_the_time_for_one_reply(stub: StubS3) -> None:
    stub.answer = lambda request: Reply(waits=True)
    started = time.monotonic()
    with pytest.raises(StorageUnavailable, match=r"No usable reply came within 0\.3 seconds"):
        open_store(max_attempts=4, read_timeout_s=0.3).get("a")
    assert time.monotonic() - started < 2
    assert len(stub.requests) == 1


def test_a_body_that_falls_silent_is_given_up_after_the_time_for_one_reply(stub: StubS3) -> None:
    head = b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 9\r\n\r\n"
    stub.answer = lambda request: Reply(raw=head, ends="hang")
    with pytest.raises(StorageUnavailable):
        open_store(max_attempts=4, read_timeout_s=0.3).get("a")
    assert len(stub.requests) == 1


def test_connection_refused(aws_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(StorageUnavailable, match="Can't reach s3://bucket"):
            open_store(max_attempts=1).get("a.jpg")


def body_reply(cut_after: int | None = None) -> Reply:
    return Reply(body=b"0123456789", headers={"ETag": '"abc"'}, cut_after=cut_after)


def test_a_body_that_breaks_off_is_read_again(stub: StubS3) -> None:
    stub.script(body_reply(cut_after=4), body_reply())
    assert open_store().get("a.jpg").data == b"0123456789"


def test_a_body_that_always_breaks_off(stub: StubS3) -> None:
    stub.answer = lambda request: body_reply(cut_after=4)
    with pytest.raises(StorageUnavailable):
        open_store(max_attempts=3).get("a.jpg")
    assert len(stub.requests) == 3


def test_a_stream_that_breaks_off_says_so(stub: StubS3) -> None:
    stub.script(body_reply(cut_after=4))
    with pytest.raises(StorageUnavailable):
        list(open_store().stream("a.jpg"))


# Refusals name what to set


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (403, "AccessDenied", "s3:ListBucket"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", "AWS_SESSION_TOKEN"),
        (400, "AuthorizationHeaderMalformed", "AWS_REGION"),
        (404, "NoSuchBucket", "STORAGE_URL"),
        (501, "NotImplemented", "Try again later"),
    ],
)
def test_refusals(stub: StubS3, status: int, code: str, remedy: str) -> None:
    stub.answer = lambda request: error(status, code)
    with pytest.raises(StorageUnavailable, match=remedy):
        open_store(max_attempts=1).get("a.jpg")


def test_a_key_that_is_too_long(stub: StubS3) -> None:
    stub.script(error(400, "KeyTooLongError"))
    with pytest.raises(InvalidInput, match="too long"):
        open_store().put("a" * 1025, b"x")


def test_no_credentials(stub: StubS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = open_store()
    with pytest.raises(StorageUnavailable, match="Set AWS_ACCESS_KEY_ID"):
        store.get("a.jpg")
    with pytest.raises(StorageUnavailable, match="Set AWS_ACCESS_KEY_ID"):
        store.url("a.jpg", 60)
    assert stub.requests == []


def test_an_unknown_profile(stub: StubS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StorageUnavailable, match="AWS_PROFILE"):
        next(open_store().list())


def test_a_missing_bucket_is_unavailable_to_every_call(s3_endpoint: str, bucket: str) -> None:
    store = open_store("s3://no-such-bucket")
    for act in (
        lambda: store.get("a"),
        lambda: store.head("a"),
        lambda: list(store.list()),
        lambda: store.put("a", b"x"),
        lambda: store.delete("a"),
        lambda: list(store.stream("a")),
        lambda: store.put("a", b"x", if_none_match=True),
    ):
        with pytest.raises(StorageUnavailable, match="Create the bucket"):
            act()


def test_head_without_the_right_to_look_at_the_bucket(stub: StubS3) -> None:
    """Keys that may only read objects can't check the bucket: the object counts as missing."""
    stub.script(Reply(404), Reply(403))
    with pytest.raises(ObjectNotFound):
        open_store().head("a.jpg")


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "file://data", "s3://bucket/../up", "s3://bucket/a//b"])
def test_addresses_that_name_no_bucket(url: str) -> None:
    with pytest.raises(InvalidSettings, match="STORAGE_URL"):
        open_store(url)


def test_an_endpoint_that_is_no_address(aws_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio")
    with pytest.raises(InvalidSettings, match="AWS_ENDPOINT_URL"):
        open_store().get("a.jpg")


# On the wire


def test_uploads_carry_nothing_that_other_servers_reject(stub: StubS3) -> None:
    stub.answer = lambda request: written(request.body)
    open_store().put("a.jpg", b"x" * 1000, content_type="image/jpeg")
    (request,) = stub.requests
    assert request.body == b"x" * 1000
    assert request.headers["content-type"] == "image/jpeg"
    assert "aws-chunked" not in request.headers.get("content-encoding", "")
    assert not [name for name in request.headers if "checksum" in name]


def test_an_endpoint_of_ones_own_is_addressed_by_path(stub: StubS3) -> None:
    stub.answer = lambda request: written(request.body)
    open_store("s3://bucket/my pictures").put("a b/ü.jpg", b"x")
    assert stub.requests[0].path == "/bucket/my%20pictures/a%20b/%C3%BC.jpg"


def test_a_profile_may_choose_virtual_hosts(stub: StubS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://objects.example")
    assert (open_store().url("a.jpg", 60) or "").startswith("http://bucket.objects.example/a.jpg?")


def test_nothing_is_connected_before_the_first_request(stub: StubS3) -> None:
    open_store()
    assert stub.requests == []


def test_a_failed_multipart_upload_leaves_no_parts(bucket: str) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 10 << 20:
                raise RuntimeError("the source broke off")
            return super().read(size)

    store = open_store(f"s3://{bucket}", multipart_bytes=5 << 20)
    with pytest.raises(RuntimeError, match="broke off"):
        store.put("big.bin", Broken(b"x" * (20 << 20)))
    client = boto3.session.Session().client("s3")
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    client.close()


def test_a_multipart_upload_that_cannot_be_taken_back(stub: StubS3, caplog: pytest.LogCaptureFixture) -> None:
    started = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
    stub.script(Reply(body=started), error(403, "AccessDenied"), error(403, "AccessDenied"))
    with pytest.raises(StorageUnavailable, match="UploadPart"):
        open_store(multipart_bytes=5 << 20).put("big.bin", BytesIO(b"x" * (6 << 20)))
    assert "stay in the bucket" in caplog.text


def test_large_files_go_up_in_parts(bucket: str) -> None:
    open_store(f"s3://{bucket}", multipart_bytes=5 << 20).put("big.bin", BytesIO(b"x" * (11 << 20)))
    client = boto3.session.Session().client("s3")
    assert client.head_object(Bucket=bucket, Key="big.bin")["ETag"].endswith('-3"')
    client.close()


ODD_KEYS = ["/lead.jpg", "a//b.jpg", "a\\b.jpg", "//", "a//", " a .jpg", "%41.jpg", "a?b#c&d+e.jpg"]


def fill(bucket: str, keys: Iterable[str], **options: Any) -> None:
    client = boto3.session.Session().client("s3")
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode(), **options)
    client.close()


@pytest.mark.parametrize("prefix", ["", "p/"])
def test_keys_that_are_legal_in_s3_alone_are_taken(bucket: str, prefix: str) -> None:
    fill(bucket, [prefix + key for key in ODD_KEYS])
    store = open_store(f"s3://{bucket}/{prefix}")
    taken = sorted(key for key in ODD_KEYS if not key.endswith("/"))
    assert [info.key for info in store.list()] == taken
    for key in taken:
        assert store.get(key).data == (prefix + key).encode()
        assert store.head(key).size_bytes == len(prefix + key)
        with urllib.request.urlopen(store.url(key, 60) or "") as reply:
            assert reply.read() == (prefix + key).encode()


def listed(key: str) -> Reply:
    entry = f"<Key>{key}</Key><ETag>x</ETag><Size>1</Size><LastModified>2024-01-01T00:00:00Z</LastModified>"
    return Reply(body=f"<ListBucketResult><Name>b</Name><Contents>{entry}</Contents></ListBucketResult>".encode())


@pytest.mark.parametrize("key", ["./a.jpg", "a/../b.jpg", "a/./b.jpg"])
def test_keys_that_http_clients_change_are_reported(stub: StubS3, key: str, caplog: pytest.LogCaptureFixture) -> None:
    stub.answer = lambda request: listed(key)
    reported: list[Unlisted] = []
    assert list(open_store().list(selection=Selection(report=reported.append))) == []
    assert [each.key for each in reported] == [key]
    assert "Copy it to another key" in reported[0].reason
    assert caplog.records == []
    assert list(open_store().list()) == []
    assert "left out" in caplog.text


# What people keep in buckets


@pytest.mark.parametrize(
    ("fields", "archive"),
    [
        ("<StorageClass>GLACIER</StorageClass>", "the archive GLACIER"),
        (
            "<StorageClass>INTELLIGENT_TIERING</StorageClass><AccessTier>DEEP_ARCHIVE_ACCESS</AccessTier>",
            "the archive INTELLIGENT_TIERING DEEP_ARCHIVE_ACCESS",
        ),
        ("", "the archive"),
    ],
)
def test_an_archived_object_is_named_as_such(stub: StubS3, fields: str, archive: str) -> None:
    stub.answer = lambda request: Reply(403, f"<Error><Code>InvalidObjectState</Code>{fields}</Error>".encode())
    for act in (open_store().get, lambda key: list(open_store().stream(key))):
        with pytest.raises(ObjectArchived, match=f"s3://bucket/a.jpg lies in {archive} and can't be read"):
            act("a.jpg")


def packed(body: bytes, encoding: str = "gzip") -> Reply:
    return Reply(body=body, headers={"ETag": '"abc"', "Last-Modified": MODIFIED, "Content-Encoding": encoding})


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "aws-chunked, gzip"])
def test_packed_objects_are_unpacked(stub: StubS3, encoding: str) -> None:
    body = b"picture " * 1000
    stub.answer = lambda request: packed(gzip.compress(body[:4000]) + gzip.compress(body[4000:]), encoding)
    store = open_store()
    assert store.get("a.jpg").data == body
    chunks = list(store.stream("a.jpg", chunk_bytes=1024))
    assert b"".join(chunks) == body
    assert max(map(len, chunks)) <= 1024
    assert store.head("a.jpg").packed


@pytest.mark.parametrize("encoding", ["gzip", "utf-8", ""])
def test_objects_that_are_only_called_packed_stay_as_they_are(stub: StubS3, encoding: str) -> None:
    stub.answer = lambda request: packed(b"\xff\xd8\xff picture", encoding)
    assert open_store().get("a.jpg").data == b"\xff\xd8\xff picture"
    assert b"".join(open_store().stream("a.jpg")) == b"\xff\xd8\xff picture"


def test_a_damaged_packed_object(stub: StubS3) -> None:
    stub.answer = lambda request: packed(gzip.compress(b"picture" * 1000)[:-20])
    with pytest.raises(InvalidInput, match=r"a\.jpg is stored with Content-Encoding: gzip, and is damaged"):
        open_store().get("a.jpg")
    with pytest.raises(InvalidInput, match="damaged"):
        list(open_store().stream("a.jpg"))


def test_a_small_object_that_unpacks_to_a_large_one(stub: StubS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_encoding, "MAX_UNPACKED_BYTES", 1 << 20)
    stub.answer = lambda request: packed(gzip.compress(b"x" * ((1 << 20) + 1)))
    with pytest.raises(InvalidInput, match=r"gzip\. Unpacked, it has more than 1,048,576 bytes"):
        open_store().get("a.jpg")
    assert sum(map(len, open_store().stream("a.jpg"))) == (1 << 20) + 1


def test_a_prefix_is_a_world_of_its_own(bucket: str) -> None:
    inside, outside = open_store(f"s3://{bucket}/my/pictures/"), open_store(f"s3://{bucket}")
    outside.put("my/pictures.jpg", b"outside")
    for key in ("a/1.jpg", "a/2.jpg", "b.jpg"):
        inside.put(key, key.encode())
    assert outside.get("my/pictures/b.jpg").data == b"b.jpg"
    assert [info.key for info in inside.list()] == ["a/1.jpg", "a/2.jpg", "b.jpg"]
    assert [info.key for info in inside.list("a/", start_after="a/1.jpg")] == ["a/2.jpg"]
    assert inside.head("b.jpg").key == "b.jpg"
    inside.delete("b.jpg")
    assert [info.key for info in outside.list()] == ["my/pictures.jpg", "my/pictures/a/1.jpg", "my/pictures/a/2.jpg"]


def test_listing_goes_on_over_pages(bucket: str) -> None:
    """S3 lists at most a thousand keys in one reply, the server of the tests ten."""
    client = boto3.session.Session().client("s3")
    for number in range(34):
        client.put_object(Bucket=bucket, Key=f"{number:04}.jpg")
    assert client.list_objects_v2(Bucket=bucket)["IsTruncated"]
    client.close()
    listed = [info.key for info in open_store(f"s3://{bucket}").list(start_after="0000.jpg")]
    assert listed == [f"{number:04}.jpg" for number in range(1, 34)]


# Addresses


def test_a_signed_link_fetches_the_object(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/p")
    store.put("a b/ü+1.jpg", b"picture")
    link = store.url("a b/ü+1.jpg", 77)
    assert link is not None
    assert "X-Amz-Expires=77&" in link
    assert "X-Amz-Signature=" in link
    with urllib.request.urlopen(link) as reply:
        assert reply.read() == b"picture"


def test_a_public_link_is_the_plain_address(stub: StubS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = open_store("s3://bucket/p", links="public")
    assert store.url("a b/ü+1.jpg", 60) == f"{stub.url}/bucket/p/a%20b/%C3%BC%2B1.jpg"
    assert store.url("b.jpg", 60) == f"{stub.url}/bucket/p/b.jpg"


def test_a_public_link_at_aws(aws_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    link = open_store(links="public").url("a.jpg", 60)
    assert link == "https://bucket.s3.eu-west-1.amazonaws.com/a.jpg"


def test_a_signed_link_at_aws_names_the_region(aws_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The global endpoint would redirect requests for a new bucket to its region, where the signature is wrong."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    link = open_store("s3://bucket").url("a", 60) or ""
    assert link.startswith("https://bucket.s3.eu-west-1.amazonaws.com/a?X-Amz-Algorithm=AWS4-HMAC-SHA256")


def test_aws_region_works_and_goes_before_the_default(aws_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every SDK but boto3 reads it."""
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert (open_store().url("a.jpg", 60) or "").startswith("https://bucket.s3.ap-south-1.amazonaws.com/a.jpg?")


@pytest.mark.parametrize("body", ["", "<Region>eu-west-3</Region>"])
def test_a_bucket_elsewhere_is_told_with_its_region(stub: StubS3, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    xml = f"<Error><Code>AuthorizationHeaderMalformed</Code>{body}</Error>".encode()
    stub.answer = lambda request: Reply(400, xml)
    wanted = "eu-west-3" if body else "the bucket's own"
    with pytest.raises(StorageUnavailable, match=f"not in the region ap-south-1: set AWS_REGION to {wanted}"):
        open_store(max_attempts=1).get("a.jpg")


@pytest.mark.parametrize(
    ("key", "content_type"),
    [("a.jpg", "image/jpeg"), ("a.PNG", "image/png"), ("a", None), ("a.svg", None), ("a.html", None)],
)
def test_a_signed_link_answers_as_a_picture(bucket: str, key: str, content_type: str | None) -> None:
    fill(bucket, [key])
    with urllib.request.urlopen(open_store(f"s3://{bucket}").url(key, 60) or "") as reply:
        assert reply.headers["Content-Type"] == (content_type or "binary/octet-stream")


def ends_in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_credentials_that_end_before_the_link_are_said_once(
    stub: StubS3, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends_in(3000))
    store = open_store()
    assert store.url("a.jpg", 600)
    assert caplog.records == []
    assert store.url("a.jpg", 3600)
    assert store.url("b.jpg", 3600)
    (said,) = caplog.records
    assert "expire before the 3600 seconds of STORAGE_LINK_EXPIRES_S are over" in said.getMessage()


@pytest.mark.parametrize("token", ["", "token"])
def test_a_token_without_a_date_is_mentioned(
    stub: StubS3, token: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    with caplog.at_level(logging.INFO, "app.storage.s3_client"):
        store = open_store()
        assert store.url("a.jpg", 60)
        assert store.url("a.jpg", 60)
    assert ["AWS_SESSION_TOKEN" in record.getMessage() for record in caplog.records] == ([True] if token else [])


def test_one_client_is_made_for_a_store(stub: StubS3, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = boto3.session.Session.client
    monkeypatch.setattr(boto3.session.Session, "client", lambda self, *a, **k: made.append(a[0]) or make(self, *a, **k))
    stub.answer = lambda request: written(request.body)
    store = open_store()
    store.put("a", b"x")
    store.put("b", b"x")
    assert made == ["s3"]


def test_a_public_link_of_a_bucket_with_dots(aws_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate covers only one level of names."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    link = open_store("s3://my.bucket", links="public").url("a.jpg", 60)
    assert link == "https://s3.eu-west-1.amazonaws.com/my.bucket/a.jpg"


def test_a_public_link_through_a_cdn() -> None:
    store = open_store("s3://bucket/p", links="public", public_url="https://cdn.example/pictures/")
    assert store.url("a b.jpg", 60) == "https://cdn.example/pictures/p/a%20b.jpg"


def test_links_through_the_service() -> None:
    assert open_store(links="service").url("a.jpg", 60) is None


def test_uri() -> None:
    assert open_store("s3://bucket").uri("a b/ü.jpg") == "s3://bucket/a b/ü.jpg"
    assert open_store("s3://bucket/p/q/").uri("a.jpg") == "s3://bucket/p/q/a.jpg"
