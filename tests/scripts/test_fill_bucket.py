"""scripts/fill_bucket.py against an S3 server over HTTP, once in a process of its own as docker-compose.yml does it."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import typer
from mypy_boto3_s3 import S3Client
from typer.testing import CliRunner

from scripts.fill_bucket import main

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def url() -> str:
    """Address of a bucket that does not exist yet."""
    return f"s3://images-{uuid.uuid4().hex}"


@pytest.fixture
def s3(s3_endpoint: str, aws_env: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    client = boto3.client("s3")
    yield client
    client.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("nature/sea.jpg", "nature/moon.webp", "notes.txt", ".hidden/x.jpg", "_index/y.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def fill_bucket(url: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script in this process."""
    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, arguments, env={"STORAGE_URL": url, **variables})
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def names(s3: S3Client) -> set[str]:
    return {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}


def bucket_of(url: str) -> str:
    return url.removeprefix("s3://")


def test_makes_the_bucket_and_nothing_else(url: str, s3: S3Client) -> None:
    before = names(s3)
    script = str(ROOT / "scripts" / "fill_bucket.py")
    done = subprocess.run(
        [sys.executable, script], env=os.environ | {"STORAGE_URL": url}, cwd=ROOT, capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{url}: made, 0 pictures uploaded\n"
    assert names(s3) - before == {bucket_of(url)}


def test_uploads_the_pictures_that_are_missing(url: str, s3: S3Client, pictures: Path) -> None:
    first = fill_bucket(url, str(pictures))
    (pictures / "nature" / "sun.png").write_bytes(b"sun")
    (pictures / "nature" / "sea.jpg").write_bytes(b"changed here, and left alone there")
    second = fill_bucket(url, str(pictures))

    assert first.stdout == f"{url}: made, 2 pictures uploaded\n"
    assert second.stdout == f"{url}: there, 1 pictures uploaded\n"
    listed = s3.list_objects_v2(Bucket=bucket_of(url)).get("Contents", [])
    assert [item["Key"] for item in listed] == ["nature/moon.webp", "nature/sea.jpg", "nature/sun.png"]
    stored = s3.get_object(Bucket=bucket_of(url), Key="nature/sea.jpg")
    assert stored["ContentType"] == "image/jpeg"
    assert stored["Body"].read() == b"nature/sea.jpg"


def test_other_regions_are_named(url: str, s3: S3Client) -> None:
    done = fill_bucket(url, AWS_DEFAULT_REGION="eu-central-1")

    assert done.returncode == 0, done.stderr
    assert s3.get_bucket_location(Bucket=bucket_of(url))["LocationConstraint"] == "eu-central-1"


@pytest.mark.usefixtures("aws_env")
def test_a_folder_needs_no_making_and_takes_no_upload(tmp_path: Path, pictures: Path) -> None:
    url = f"file://{tmp_path}/store"
    made = fill_bucket(url, AWS_ENDPOINT_URL=NOWHERE)
    uploaded = fill_bucket(url, str(pictures), AWS_ENDPOINT_URL=NOWHERE)

    assert (made.returncode, made.stdout) == (0, f"{url}: there, 0 pictures uploaded\n")
    assert uploaded.returncode == 1
    assert "is no bucket" in uploaded.stderr


@pytest.mark.usefixtures("aws_env")
def test_no_server_is_one_sentence() -> None:
    done = fill_bucket("s3://images", AWS_ENDPOINT_URL=NOWHERE, AWS_MAX_ATTEMPTS="1")

    assert done.returncode == 1
    assert done.stderr.startswith("Can't make the bucket images (")
    assert "Check that the S3 server is up" in done.stderr
    assert done.stderr.count("\n") == 1
