"""A reverse proxy with TLS, on another address than the service and its other clients."""

import http.client
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.service import DEADLINE_S

ADDRESS = "127.0.0.2"
NAME = "photos.example"


@contextmanager
def tls_proxy(
    service: httpx2.URL, folder: Path, headers: Mapping[str, str], removed: str = ""
) -> Iterator[httpx2.Client]:
    """A client that knows the service as `https://NAME` through a proxy, which sets `headers` and removes a prefix."""
    certificate = self_signed(folder)
    handler = type("Handler", (_Handler,), {"service": service, "set_headers": headers, "removed": removed})
    with ThreadingHTTPServer((ADDRESS, 0), handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        trusting = ssl.create_default_context(cafile=certificate)
        try:
            with httpx2.Client(
                base_url=f"https://{ADDRESS}:{server.server_port}",
                verify=trusting,
                headers={"Host": NAME},
                timeout=DEADLINE_S,
            ) as client:
                yield client
        finally:
            server.shutdown()
            thread.join(DEADLINE_S)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: httpx2.URL
    set_headers: Mapping[str, str]
    removed: str

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        near = http.client.HTTPConnection(
            self.service.host, self.service.port, timeout=DEADLINE_S, source_address=(ADDRESS, 0)
        )
        near.request(
            self.command, self.path.removeprefix(self.removed), body or None, {**self.headers, **self.set_headers}
        )
        answer = near.getresponse()
        data = answer.read()
        near.close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_OPTIONS = _forward  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def self_signed(folder: Path) -> Path:
    """A file with a key and a certificate that it has signed itself, for NAME and ADDRESS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(NAME), x509.IPAddress(ip_address(ADDRESS))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(private + certificate.public_bytes(pem))
    return path
