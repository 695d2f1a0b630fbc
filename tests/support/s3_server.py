"""A real S3 endpoint over HTTP for tests: moto's server in its own process, one for all workers of a test run.

Run as a script, this file is the server.
"""

import os
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import botocore.session
import pytest

from tests.support.shared_server import shared_server

AWS_SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "NO_PROXY": "127.0.0.1,localhost",
}
UNSET = ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "STORAGE_URL")


@pytest.fixture(scope="session", autouse=True)
def s3_is_described_once() -> Iterator[None]:
    """botocore would read its description of S3 for every boto3 session, which takes a sixth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of moto's server."""
    with shared_server(tmp_path_factory, "moto", [sys.executable, "-W", "ignore", "-m", __name__]) as address:
        yield address


@pytest.fixture
def aws_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dummy credentials, and nothing of the developer's own AWS configuration."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in AWS_SETTINGS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(s3_endpoint: str, aws_env: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a new, empty bucket, with the environment set so that boto3 finds it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    name = f"test-{uuid.uuid4().hex}"
    request = urllib.request.Request(f"{s3_endpoint}/{name}", method="PUT")  # to make a client of boto3 takes 20 ms
    with urllib.request.urlopen(request):
        return name


def serve() -> None:
    """Serve on a free port until stdin closes. Listings come in pages of ten, so that tests need few objects."""
    os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = "10"
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Prompt(MotoRequestHandler):
        disable_nagle_algorithm = True  # or every reply waits 40 ms for the client's acknowledgement

    app = one_at_a_time(create_backend_app("s3"))  # all of AWS behind one port takes a third longer for each request
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Prompt)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.port}", flush=True)
    sys.stdin.read()


def one_at_a_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """S3 checks a condition and writes in one step; moto does not, so requests are handled one after the other."""
    lock = threading.Lock()

    def locked(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with lock:
            return list(app(environ, start_response))

    return locked


if __name__ == "__main__":
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    serve()
