"""Translates the errors of S3 and its SDK into ours, which name the variable or the right to check."""

from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from app.errors import AppError, InvalidInput, ObjectArchived, ObjectNotFound, StorageUnavailable

NO_OBJECT = {"NoSuchKey", "NotFound", "404"}
ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound)


def status_of(error: ClientError) -> int:
    """HTTP status of the reply."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def code_of(error: ClientError) -> str:
    """S3's name for the error, or the HTTP status if the reply had no body."""
    return error.response["Error"]["Code"]


def is_lost(error: ClientError, if_match: str | None) -> bool:
    """Whether a conditional write lost: 412 to an earlier write, 409 to a simultaneous one, 404 to a delete."""
    gone = if_match is not None and status_of(error) == 404 and code_of(error) != "NoSuchBucket"
    return gone or status_of(error) in (409, 412)


def answered(error: ClientError, bucket: str, key: str, region: str) -> AppError:
    """Our error for an error reply. `region` is the one that requests are signed for."""
    code, status = code_of(error), status_of(error)
    where = f"s3://{bucket}/{key}"
    if code in NO_OBJECT and key:
        return ObjectNotFound(f"There is no object {where}.")
    if code == "KeyTooLongError":
        return InvalidInput(f"The key of {where} is too long: S3 allows 1024 bytes. Choose a shorter one.")
    if code == "InvalidObjectState":
        return ObjectArchived(f"{where} lies in {_archive_of(error)} and can't be read before it is restored.")
    return StorageUnavailable(
        f"S3 refused {error.operation_name} on {where}: {code} ({status}). {_remedy(error, region)}"
    )


def _archive_of(error: ClientError) -> str:
    """The archive as people know it: its storage class, or the tier of S3's own tiering."""
    fields: dict[str, Any] = {**error.response["Error"], **error.response}
    return " ".join(["the archive", *(fields[name] for name in ("StorageClass", "AccessTier") if fields.get(name))])


def unreached(error: BotoCoreError, bucket: str) -> StorageUnavailable:
    """Our error for a request that got no reply."""
    if isinstance(error, NO_CREDENTIALS):
        remedy = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
    else:
        remedy = "Check the network, AWS_ENDPOINT_URL and AWS_REGION, and whether the server is running."
    return StorageUnavailable(f"Can't reach s3://{bucket}: {error} {remedy}")


def _remedy(error: ClientError, region: str) -> str:
    code, status = code_of(error), status_of(error)
    if code == "NoSuchBucket" or status == 404:
        return "Create the bucket, or name another one in STORAGE_URL; check AWS_ENDPOINT_URL."
    if code in ELSEWHERE or status == 301:
        return f"The bucket is not in the region {region}: set AWS_REGION to {_region_in(error)}."
    if status in (302, 303, 307, 308):
        return (
            "This answer is for browsers: check that AWS_ENDPOINT_URL names an S3 server, and that no login page of "
            "the network stands before it."
        )
    if status in (400, 401, 403):
        return (
            "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and the clock, and that these keys have "
            "the rights s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject here."
        )
    return "Try again later."


def _region_in(error: ClientError) -> str:
    """The bucket's region, where the reply names it."""
    fields: dict[str, Any] = {**error.response["Error"]}
    headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region") or fields.get("Region") or "the bucket's own"
