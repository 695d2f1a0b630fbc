"""scripts/fill_bucket.py as docker-compose.yml runs it: a real process against an S3 server over HTTP."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-only"}


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str) -> Iterator[S3Client]:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    yield client
    client.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("nature/sea.jpg", "nature/moon.webp", "notes.txt", ".hidden/x.jpg", "_index/y.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def fill_bucket(endpoint: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "STORAGE_"))}
    environment = kept | CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint, "STORAGE_URL": "s3://images", "no_proxy": "*"}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "fill_bucket.py"), *arguments],
        env=environment | {"AWS_DEFAULT_REGION": "us-east-1"} | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def keys(s3: S3Client) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket="images").get("Contents", [])]


def test_makes_the_bucket_and_nothing_else(endpoint: str, s3: S3Client) -> None:
    done = fill_bucket(endpoint)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "s3://images: made, 0 pictures uploaded\n"
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["images"]


def test_uploads_the_pictures_that_are_missing(endpoint: str, s3: S3Client, pictures: Path) -> None:
    first = fill_bucket(endpoint, str(pictures))
    (pictures / "nature" / "sun.png").write_bytes(b"sun")
    (pictures / "nature" / "sea.jpg").write_bytes(b"changed here, and left alone there")
    second = fill_bucket(endpoint, str(pictures))

    assert first.stdout == "s3://images: made, 2 pictures uploaded\n"
    assert second.stdout == "s3://images: there, 1 pictures uploaded\n"
    assert keys(s3) == ["nature/moon.webp", "nature/sea.jpg", "nature/sun.png"]
    assert s3.get_object(Bucket="images", Key="nature/sea.jpg")["ContentType"] == "image/jpeg"
    assert s3.get_object(Bucket="images", Key="nature/sea.jpg")["Body"].read() == b"nature/sea.jpg"


def test_other_regions_are_named(endpoint: str, s3: S3Client) -> None:
    done = fill_bucket(endpoint, AWS_DEFAULT_REGION="eu-central-1")

    assert done.returncode == 0, done.stderr
    assert s3.get_bucket_location(Bucket="images")["LocationConstraint"] == "eu-central-1"


def test_a_folder_needs_no_making_and_takes_no_upload(tmp_path: Path, pictures: Path) -> None:
    url = f"file://{tmp_path}/store"
    made = fill_bucket("http://127.0.0.1:9", STORAGE_URL=url)
    uploaded = fill_bucket("http://127.0.0.1:9", str(pictures), STORAGE_URL=url)

    assert (made.returncode, made.stdout) == (0, f"{url}: there, 0 pictures uploaded\n")
    assert uploaded.returncode == 1
    assert "is no bucket" in uploaded.stderr


def test_no_server_is_one_sentence() -> None:
    done = fill_bucket("http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")

    assert done.returncode == 1
    assert done.stderr.startswith("Can't make the bucket images (")
    assert "Check that the S3 server is up" in done.stderr
    assert done.stderr.count("\n") == 1
