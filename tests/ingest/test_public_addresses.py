"""Which addresses count as public, and what FETCH_ALLOWED_HOSTS allows besides."""

from ipaddress import ip_address

import pytest
from pydantic import ValidationError

from app.ingest.public_addresses import AllowedHosts, is_public
from app.settings import FetchSettings

NOT_PUBLIC = {
    "this network": "0.0.0.0",
    "private 10": "10.0.0.1",
    "private 172": "172.31.255.255",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "metadata of one cloud in it": "100.100.100.200",
    "loopback": "127.0.0.1",
    "loopback, elsewhere": "127.255.255.254",
    "link-local, metadata of most clouds": "169.254.169.254",
    "IETF, metadata of another cloud": "192.0.0.192",
    "platform of another cloud": "168.63.129.16",
    "documentation": "203.0.113.7",
    "6to4 relay": "192.88.99.1",
    "benchmarks": "198.18.0.1",
    "multicast": "224.0.0.251",
    "multicast, global scope": "233.252.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "v6 unspecified": "::",
    "v6 loopback": "::1",
    "v4-mapped private": "::ffff:10.0.0.1",
    "v4-mapped public": "::ffff:8.8.8.8",
    "v4-compatible": "::127.0.0.1",
    "NAT64": "64:ff9b::7f00:1",
    "NAT64, local": "64:ff9b:1::a00:1",
    "discard only": "100::1",
    "Teredo": "2001:0:4136:e378::1",
    "ORCHID": "2001:20::1",
    "v6 documentation": "2001:db8::1",
    "v6 documentation, new": "3fff::1",
    "6to4": "2002:7f00:1::1",
    "segment routing": "5f00::1",
    "v6 unique local, metadata": "fd00:ec2::254",
    "v6 link-local": "fe80::1%eth0",
    "v6 site-local": "fec0::1",
    "v6 multicast": "ff02::1",
}


@pytest.mark.parametrize("address", NOT_PUBLIC.values(), ids=NOT_PUBLIC)
def test_addresses_that_are_not_of_one_public_host(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2001:4860:4860::8888"])
def test_addresses_of_public_hosts(address: str) -> None:
    assert is_public(ip_address(address))


def test_allowed_names_addresses_and_networks() -> None:
    allowed = AllowedHosts.parse(
        FetchSettings(allowed_hosts=" NAS.lan, *.internal ,10.1.0.0/16,fd00::7 ").allowed_hosts
    )
    assert all(map(allowed.has_name, ("nas.lan", "Nas.Lan.", "a.b.internal")))
    assert not any(map(allowed.has_name, ("x.nas.lan", "internal", "evilinternal", "10.1.0.1")))
    assert all(allowed.has_address(ip_address(each)) for each in ("10.1.255.1", "fd00::7"))
    assert not any(allowed.has_address(ip_address(each)) for each in ("10.2.0.1", "fd00::8", "::ffff:10.1.0.1"))
    assert all(map(allowed.has_host, ("nas.lan", "10.1.0.1", "fd00::7")))
    assert not any(map(allowed.has_host, ("10.2.0.1", "lan")))


def test_nothing_is_allowed_by_default() -> None:
    assert AllowedHosts.parse(FetchSettings().allowed_hosts) == AllowedHosts()


@pytest.mark.parametrize("hosts", ["*", "http://nas.lan", "nas.lan:80", "10.0.0.1/8", "a b", "nas.*"])
def test_a_host_that_can_not_be_meant_is_refused_with_the_remedy(hosts: str) -> None:
    with pytest.raises(ValidationError, match=r"is no host. Give names, such as nas\.lan"):
        FetchSettings(allowed_hosts=hosts)
