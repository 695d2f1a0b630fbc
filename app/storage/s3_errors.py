"""Translates the errors of S3 and its SDK into ours, which name the variable or the right to check."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from app.errors import AppError, InvalidInput, ObjectNotFound, StorageUnavailable

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


def answered(error: ClientError, bucket: str, key: str) -> AppError:
    """Our error for an error reply."""
    code, status = code_of(error), status_of(error)
    where = f"s3://{bucket}/{key}"
    if code in NO_OBJECT and key:
        return ObjectNotFound(f"There is no object {where}.")
    if code == "KeyTooLongError":
        return InvalidInput(f"The key of {where} is too long: S3 allows 1024 bytes. Choose a shorter one.")
    return StorageUnavailable(
        f"S3 refused {error.operation_name} on {where}: {code} ({status}). {_remedy(code, status)}"
    )


def unreached(error: BotoCoreError, bucket: str) -> StorageUnavailable:
    """Our error for a request that got no reply."""
    if isinstance(error, NO_CREDENTIALS):
        remedy = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
    else:
        remedy = "Check the network, AWS_ENDPOINT_URL and AWS_REGION, and whether the server is running."
    return StorageUnavailable(f"Can't reach s3://{bucket}: {error} {remedy}")


def _remedy(code: str, status: int) -> str:
    if code == "NoSuchBucket" or status == 404:
        return "Create the bucket, or name another one in STORAGE_URL; check AWS_ENDPOINT_URL."
    if code in ELSEWHERE or status == 301:
        return "The bucket is in another region: set AWS_REGION to it."
    if status in (400, 401, 403):
        return (
            "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and the clock, and that these keys have "
            "the rights s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject here."
        )
    return "Try again later."
