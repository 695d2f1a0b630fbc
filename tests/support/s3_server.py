"""A real S3 endpoint over HTTP for tests: moto's server in a process of its own.

`pytest_plugins` in tests/conftest.py makes the fixtures known everywhere. Run as a script, this file is the server.
"""

import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import boto3.session
import botocore.session
import pytest

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
    """botocore reads its description of S3 anew for every session, which takes a sixth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of a moto server that lives as long as the test session."""
    command = [sys.executable, "-W", "ignore", __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith("http://"), "moto's server did not start"
        yield address
        server.stdin.close()


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
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=name)
    client.close()
    return name


def serve() -> None:
    """Serve on a free port until stdin closes, which it does when the tests end, however they end."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Prompt(MotoRequestHandler):
        disable_nagle_algorithm = True  # or every reply waits 40 ms for the client's acknowledgement

    app = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Prompt)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.port}", flush=True)
    sys.stdin.read()


def one_at_a_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """S3 checks a condition and writes in one step; moto does so only when nobody comes in between."""
    lock = threading.Lock()

    def locked(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with lock:
            return list(app(environ, start_response))

    return locked


if __name__ == "__main__":
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    serve()
