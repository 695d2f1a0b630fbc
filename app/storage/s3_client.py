"""Makes the SDK's client for S3: where a bucket is addressed, how long a request may take, and errors of one kind.

When a reply is odd, the SDK lets many kinds of exceptions through: of its parsers, of urllib3, KeyError, ValueError.
A client made here raises `OddReply` instead, which is a BotoCoreError like the SDK's other errors.
"""

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from boto3.session import Session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session as BotocoreSession
from urllib3.exceptions import HTTPError

from app.errors import InvalidSettings, first_line
from app.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

BEGAN = "image2search_began"
"""Where a request's context has the time of its first try (monotonic seconds)."""

LINKS_END_SOON = (
    "The credentials that sign links expire before the %d seconds of STORAGE_LINK_EXPIRES_S are over, and the links "
    "with them. Sign with credentials that last longer, lower STORAGE_LINK_EXPIRES_S, or set STORAGE_LINKS=service."
)


class OddReply(BotoCoreError):
    """A reply that no working S3 server gives."""

    fmt = "The reply to {operation} can't be read: {problem}."


class BrokenReply(OddReply):
    """The connection broke, or fell silent, in the middle of an error reply."""


class OutOfTime(BotoCoreError):
    """Tries again and again took too long."""

    fmt = "No usable reply came within {seconds:g} seconds."


class S3Connection:
    """The SDK's session, and its clients. Nothing is read or connected before the first use. Thread-safe."""

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._opening = threading.Lock()
        self._core: BotocoreSession | None = None
        self._client: S3Client | None = None
        self._told_of_expiry = False

    @property
    def client(self) -> "S3Client":
        """The client of all requests. Raises InvalidSettings, BotoCoreError."""
        with self._opening:
            if self._client is None:
                self._core = BotocoreSession()
                self._client = self._open(self._core, signed=True)
            return self._client

    def unsigned(self) -> "S3Client":
        """A client for plain addresses. Raises InvalidSettings, BotoCoreError."""
        return self._open(BotocoreSession(), signed=False)

    def tell_of_expiry(self, expires_s: int) -> None:
        """Say once that links of `expires_s` stop working sooner, with the credentials that sign them.

        Call it after the client has signed: some credentials are fetched only then.
        """
        if self._told_of_expiry or self._core is None:
            return
        credentials = self._core.get_credentials()
        if isinstance(credentials, RefreshableCredentials):
            if credentials.refresh_needed(expires_s):
                self._told_of_expiry = True
                log.warning(LINKS_END_SOON, expires_s)
        elif credentials is not None:
            self._told_of_expiry = True
            if credentials.token:
                log.info("Signed links also stop working when the AWS_SESSION_TOKEN that signs them expires.")

    def _open(self, core: BotocoreSession, *, signed: bool) -> "S3Client":
        settings = self._settings
        config = Config(
            signature_version="s3v4" if signed else UNSIGNED,
            connect_timeout=settings.connect_timeout_s,
            read_timeout=settings.read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
            max_pool_connections=settings.connections,
            tcp_keepalive=True,
            request_checksum_calculation="when_required",  # other servers reject the SDK's default checksums
            response_checksum_validation="when_required",
            s3={"addressing_style": _addressing(core)},
        )
        session = Session(botocore_session=core, region_name=settings.region or None)
        session.events.register("creating-client-class.s3", _add_translation)
        try:
            client = session.client("s3", config=config)
        except ValueError as error:
            raise InvalidSettings(
                f"AWS_ENDPOINT_URL can't be used: {error}. Give an address like http://host:9000."
            ) from error
        client.meta.events.register("request-created.s3", self._stop_trying)
        client.meta.events.register_first("needs-retry.s3", _stop_asking_for_the_region)
        return client

    def _stop_trying(self, request: Any, **_: Any) -> None:
        """Called before each try of a request. Raises OutOfTime instead of a try that would begin too late.

        Without it, a server that accepts connections and never answers would hold a caller for the time-out of
        every try.
        """
        began = request.context.setdefault(BEGAN, time.monotonic())
        if time.monotonic() - began >= self._settings.read_timeout_s:
            raise OutOfTime(seconds=self._settings.read_timeout_s)


def _addressing(core: BotocoreSession) -> Literal["auto", "path", "virtual"]:
    """How a bucket is addressed: as the profile's `addressing_style` says, else `virtual` at AWS and `path` elsewhere.

    A private server has no host name for each bucket, so `path`. At AWS the SDK's `auto` would sign links to the global
    endpoint. That redirects to the bucket's region, where the signature is wrong.
    """
    of_profile: dict[str, Any] = core.get_config_variable("s3") or {}
    chosen: Literal["auto", "path", "virtual"] | None = of_profile.get("addressing_style")
    host = urlsplit(_endpoint(core)).hostname or ""
    at_aws = not host or host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return chosen or ("virtual" if at_aws else "path")


def _endpoint(core: BotocoreSession) -> str:
    """The address of the server that the environment or the profile gives; empty where none is given."""
    if core.get_config_variable("ignore_configured_endpoint_urls"):
        return ""
    return ConfiguredEndpointProvider(core.full_config, core.get_scoped_config(), "s3").provide() or ""


class _Translation:
    """Goes before the client's own class."""

    def _make_api_call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """As `BaseClient._make_api_call`, but every error about a reply is a ClientError or a BotoCoreError."""
        try:
            return super()._make_api_call(operation, request)  # type: ignore[misc,no-any-return]
        except (BotoCoreError, ClientError):
            raise
        except HTTPError as error:
            raise BrokenReply(operation=operation, problem=first_line(error).rstrip(".")) from error
        except Exception as error:
            raise OddReply(operation=operation, problem=first_line(error).rstrip(".")) from error


def _add_translation(base_classes: list[type], **_: Any) -> None:
    base_classes.insert(0, _Translation)


def _stop_asking_for_the_region(request_dict: dict[str, Any], operation: Any, **_: Any) -> None:
    """The SDK asks with HeadBucket where a bucket is. If that reply is a redirect too, it would ask without end."""
    if operation.name == "HeadBucket":
        request_dict["context"].setdefault("s3_redirect", {})["redirected"] = True


def field(reply: Any, name: str, operation: str) -> Any:
    """A field that every S3 server sends. Raises OddReply."""
    try:
        return reply[name]
    except KeyError as error:
        raise OddReply(operation=operation, problem=f"it has no {name}") from error
