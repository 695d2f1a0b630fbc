"""Which hosts a picture may be fetched from: public ones, and those that `FETCH_ALLOWED_HOSTS` names.

An address counts as public only where it stands for one host of the public internet. Addresses that carry another
address inside (v4-mapped, NAT64, 6to4, Teredo) don't: they could lead to a private one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Self, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_IPV6_UNICAST: Final = IPv6Network("2000::/3")
"""All of IPv6 that is handed out to hosts (RFC 4291). v4-mapped, NAT64, local and multicast addresses lie outside."""

_SPECIAL: Final = tuple(
    map(
        ip_network,
        (
            *("192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "2001::/23", "2002::/16", "3fff::/20"),
            "168.63.129.16/32",  # Azure's own services, in every virtual machine there
        ),
    )
)
"""Not for hosts of the public internet, although `is_global` is true in some releases of Python.

RFC 6890 and IANA's registries of special-purpose addresses; 2001::/23 holds Teredo, 2002::/16 is 6to4.
"""


def is_public(address: Address) -> bool:
    """Whether this is the address of one host of the public internet."""
    if isinstance(address, IPv6Address) and address not in _IPV6_UNICAST:
        return False
    return address.is_global and not any(address in network for network in _SPECIAL)


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The hosts that may be asked although they are not public, as `FETCH_ALLOWED_HOSTS` names them."""

    names: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From names, addresses and networks with commas between them."""
        each = [part for part in text.split(",") if part]
        networks = {part: network for part in each for network in _network(part)}
        return cls(tuple(part for part in each if part not in networks), tuple(networks.values()))

    def has_name(self, host: str) -> bool:
        """Whether the host is one of the names, or lies below one that begins with `*.`."""
        name = host.lower().rstrip(".")
        return any(name == each or (each.startswith("*.") and name.endswith(each[1:])) for each in self.names)

    def has_host(self, host: str) -> bool:
        """Whether the host, a name or an address as a URL has it, is allowed."""
        return self.has_name(host) or any(self.has_address(address) for address in _address(host))

    def has_address(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def _network(text: str) -> Iterator[Network]:
    try:
        yield ip_network(text)
    except ValueError:
        return


def _address(host: str) -> Iterator[Address]:
    try:
        yield ip_address(host)
    except ValueError:
        return
