"""Whose address a request comes from, as far as limits are concerned."""

import ipaddress
from typing import Final

from pydantic_core import PydanticCustomError

# What a provider gives to one household or machine, which can then take any address in it.
IPV6_PREFIX: Final = 64


def network(text: str) -> str:
    """An address or a network as operators write it, in its usual form. Raises PydanticCustomError, a ValueError."""
    try:
        return str(ipaddress.ip_network(text, strict=False)) if "/" in text else str(ipaddress.ip_address(text))
    except ValueError:
        raise PydanticCustomError("network", "expected an address or a network, as 10.0.0.7 or 10.0.0.0/8") from None


def network_of(host: str) -> str:
    """The address itself, or of IPv6 its /64; what is no address is taken as it is."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False))
