"""IP addresses, without versions, numbers of sections, times and names of programs."""

import ipaddress
import re
from collections.abc import Iterator

from models.documents.personal_data.match import Clues, Match

VERSION_4 = re.compile(r"(?<![A-Za-z0-9_.,/-])\d{1,3}(?:\.\d{1,3}){3}(?![A-Za-z0-9_]|[.,-]\d|\.[A-Za-z])")
VERSION_6 = re.compile(r"(?<![A-Za-z0-9_:.])[0-9A-Fa-f:]{3,45}+(?![A-Za-z0-9_])")
NETWORK = re.compile(
    r"\b(?:ips?|ipv[46]|address\w*|adresse\w*|dirección|indirizzo|hosts?|servers?|clients?|from|von|dns|gateway|ping"
    r"|routers?|proxy|subnet|peers?|remote|source|src|dst|login|адрес\w*)\b"
    r"[\s.:#|=(,\"'-]*(?:(?:is|ist|was|war|of|at|to)\b[\s:]*)?$",
    re.IGNORECASE,
)
MAX_SMALL_PART = 40  # the parts of a version, or of a section's number, are small
NOBODYS = frozenset(["0.0.0.0", "127.0.0.1", "255.255.255.255"])  # of no person's machine
MIN_FIRST_GROUP = 3  # of a short address of version 6: a::b is a name in a program


def find_ip_addresses(text: str, clues: Clues) -> Iterator[Match]:
    """Addresses of version 4, and of version 6 as RFC 4291 writes them."""
    for candidate in VERSION_4.finditer(text):
        address, start = candidate.group(), candidate.start()
        if address in NOBODYS or not _is_valid(address):
            continue
        is_small = max(map(int, address.split("."))) <= MAX_SMALL_PART
        if clues.name(start, NETWORK) or not (is_small or clues.are_of_a_thing(start)):
            yield Match("ip_address", start, candidate.end())
    for candidate in VERSION_6.finditer(text) if text.count(":") > 1 else ():
        address = candidate.group() if candidate.group().endswith("::") else candidate.group().removesuffix(":")
        if address.count(":") > 1 and _is_address_of_6(address):
            yield Match("ip_address", candidate.start(), candidate.start() + len(address))


def _is_address_of_6(address: str) -> bool:
    first = address.split(":", 1)[0]
    is_name = "::" in address and not (len(first) >= MIN_FIRST_GROUP and any(map(str.isdigit, address)))
    return not is_name and _is_valid(address)


def _is_valid(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
