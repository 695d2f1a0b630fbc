"""Create the bucket that STORAGE_URL names, and put the pictures of a folder into it.

    python scripts/fill_bucket.py            # only create the bucket, if it does not exist yet
    python scripts/fill_bucket.py samples    # also upload the missing pictures below samples/, by relative path

docker-compose.yml uses it to prepare its own S3 server.
"""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from app.errors import AppError, InvalidSettings, StorageUnavailable
from app.library.filling import put_pictures
from app.settings import StorageSettings, load_settings
from app.storage.base import ObjectStore
from app.storage.s3 import S3Store

FIRST_REGION = "us-east-1"
"""The region in which S3 creates a bucket unless the request names another one."""


def create_bucket(storage_url: str) -> bool:
    """Create the bucket if it does not exist. Returns whether it was created. Raises StorageUnavailable."""
    parts = urlsplit(storage_url)
    if parts.scheme != "s3":
        return False
    try:
        client = boto3.client("s3")
        if parts.netloc in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            return False
        region = client.meta.region_name
        if region == FIRST_REGION:
            client.create_bucket(Bucket=parts.netloc)
        else:
            location: Any = {"LocationConstraint": region}
            client.create_bucket(Bucket=parts.netloc, CreateBucketConfiguration=location)
    except (BotoCoreError, ClientError) as error:
        raise StorageUnavailable(
            f"Can't make the bucket {parts.netloc} ({error}). Check that the S3 server is up, and the AWS_* variables."
        ) from error
    return True


def open_bucket(storage: StorageSettings) -> ObjectStore:
    """The bucket's store. Raises InvalidSettings when `STORAGE_URL` is a folder."""
    if not storage.url.startswith("s3://"):
        raise InvalidSettings(f"STORAGE_URL={storage.url} is no bucket. Copy the pictures into that folder instead.")
    return S3Store(storage)


def main(
    folder: Annotated[
        Path | None, typer.Argument(exists=True, file_okay=False, help="folder of pictures to upload")
    ] = None,
) -> None:
    """Create the bucket of STORAGE_URL and upload the pictures of FOLDER that are missing there."""
    try:
        storage = load_settings().storage
        made = create_bucket(storage.url)
        uploaded = put_pictures(open_bucket(storage), folder) if folder else 0
    except AppError as error:
        Console(stderr=True).print(str(error), style="red", soft_wrap=True, highlight=False, markup=False)
        raise typer.Exit(1) from error
    Console().print(f"{storage.url}: {'made' if made else 'there'}, {uploaded} pictures uploaded", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
