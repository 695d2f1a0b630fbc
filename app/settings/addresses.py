"""Checks of settings that are addresses: hosts, networks, URLs. Each returns the value in its plain form.

All raise ValueError with what to write instead.
"""

import re
from ipaddress import ip_network
from urllib.parse import urlsplit

_HOST_NAME = re.compile(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*", re.ASCII)


def check_host_names(value: str) -> str:
    """The names without spaces."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no host name. Give names without scheme, port and path")
    return ",".join(names)


def check_fetched_hosts(value: str) -> str:
    """The names, addresses and networks without spaces, in lower case."""
    hosts = [each.strip().lower() for each in value.split(",") if each.strip()]
    for each in hosts:
        if each == "*" or not (_HOST_NAME.fullmatch(each) or _is_network(each)):
            raise ValueError(
                f"{each!r} is no host. Give names, such as nas.lan, addresses and networks, such as 10.0.0.0/8"
            )
    return ",".join(hosts)


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


_PUBLIC_URL = re.compile(r"https?://([\w-]+(\.[\w-]+)*|\[[0-9a-f:.]+\])(:\d+)?(/[\w.~-]+)*", re.ASCII)


def check_public_url(value: str) -> str:
    """The address without a slash at its end."""
    address = value.rstrip("/")
    if address and not _PUBLIC_URL.fullmatch(address):
        raise ValueError(
            f"{value!r} is no address. Write it as in https://photos.example or https://example.com/photos"
        )
    return address


def check_endpoint(value: str) -> str:
    """The address without a slash at its end."""
    address = value.rstrip("/")
    if address and not _PUBLIC_URL.fullmatch(address):
        raise ValueError(f"{value!r} is no address of an API. Write it as in http://localhost:11434/v1, without a key")
    return address


def check_redis_address(value: str) -> str:
    """Raises ValueError, also for a port that is no number."""
    parts = urlsplit(value)
    if value and (
        parts.scheme not in ("redis", "rediss", "unix") or parts.port == 0 or not (parts.hostname or parts.path)
    ):
        raise ValueError("it is no address of Redis. Write it as in redis://localhost:6379/0, or rediss:// for TLS")
    return value


def check_proxies(value: str) -> str:
    """The addresses and networks without spaces; `*` alone where it is one of them."""
    proxies = [each.strip() for each in value.split(",") if each.strip()]
    for each in proxies:
        try:
            if each != "*":
                ip_network(each)
        except ValueError as error:
            raise ValueError(f"{error}. Give addresses, such as 10.0.0.7, and networks, such as 10.0.0.0/8") from error
    return "*" if "*" in proxies else ",".join(proxies)


_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s?#@]+")


def check_origins(value: str) -> str:
    """The origins without spaces, in lower case, as browsers send them."""
    origins = [each.strip().lower() for each in value.split(",") if each.strip()]
    for each in origins:
        if not _ORIGIN.fullmatch(each):
            raise ValueError(f"{each!r} is no origin. Give scheme, host and port, as in https://shop.example, no path")
    return ",".join(origins)
