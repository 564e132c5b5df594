"""Which addresses Rubato may dial on a user's behalf: public ones, and what the operator opens.

A URL is judged twice. At registration, and again before it is sent to, `check_url` refuses what can be seen to be wrong
in the text. At connect time `judge` resolves the name once and requires *every* answer to be allowed; what dials takes
nothing but the addresses it returns, so that a name which answers differently the second time gains nothing.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from core.errors import ConfigurationError, Issue

LONGEST_URL = 2048
REMEDY = "An operator can open internal targets with RUBATO_EGRESS_ALLOW."

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

# IANA's IPv4 special-purpose registry in full, multicast and class E, and one cloud's metadata address.
_V4_REFUSED = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Of IPv6 only global unicast, less what is special in it (Teredo, 6to4 and documentation among them).
_V6_GLOBAL = IPv6Network("2000::/3")
_V6_REFUSED = tuple(
    IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
# Ports of services that speak no HTTP; a request to one is an attack on it or a mistake.
_REFUSED_PORTS = frozenset({7, 9, 13, 19, 21, 22, 23, 25, 53, 110, 119, 139, 143, 389, 445, 465, 587, 993, 995, 6667})
_RESOLVING = ThreadPoolExecutor(max_workers=64, thread_name_prefix="resolve")  # made when the first name is asked
_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?", re.IGNORECASE)
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.IGNORECASE)


class BlockedAddressError(Exception):
    """The guard will not dial this. The message never says what a name resolved to."""


class AddressPolicy:
    """Public addresses, and what `allow` adds: CIDRs, addresses, host names, or the word `loopback`."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self.allow = tuple(allow)
        networks: list[IPv4Network | IPv6Network] = []
        hosts: set[str] = set()
        for entry in self.allow:
            word = entry.strip().lower()
            if word == "loopback":
                networks.extend(_LOOPBACK)
                hosts.add("localhost")
                continue
            try:
                networks.append(ip_network(word))
            except ValueError:
                if "/" in word or not _HOST_NAME.fullmatch(word) or _NUMERIC_HOST.fullmatch(word):
                    raise ConfigurationError(
                        f'RUBATO_EGRESS_ALLOW holds "{entry}", which is no network, address or host name; '
                        "it takes entries like 10.1.0.0/16, internal.example or loopback, separated by commas."
                    ) from None
                hosts.add(word)
        self._networks, self._hosts = tuple(networks), frozenset(hosts)

    def allows(self, address: Address) -> bool:
        """Tell whether an address may be dialled."""
        if any(address in network for network in self._networks if network.version == address.version):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _V4_REFUSED)
        if address.scope_id is not None:
            return False
        return address in _V6_GLOBAL and not any(address in network for network in _V6_REFUSED)

    def opens(self, host: str) -> bool:
        """Tell whether the operator opened this very host name, whatever it resolves to."""
        return host.lower() in self._hosts and host.lower() != "localhost"

    def allows_localhost(self) -> bool:
        """Tell whether loopback is open."""
        return "localhost" in self._hosts


def check_url(url: str, policy: AddressPolicy) -> list[Issue]:
    """Return what is wrong with a URL as it stands, without resolving names. Empty: nothing."""
    if len(url) > LONGEST_URL:
        return [_issue("too_long", f"url is longer than {LONGEST_URL} characters.")]
    if any(char <= " " or char == "\x7f" or char == "\\" for char in url):
        return [_issue("invalid_url", "url must not contain spaces, control characters or backslashes; encode them.")]
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [_issue("invalid_url", "url is not valid; it looks like https://example.com/path.")]
    if parts.scheme not in ("http", "https"):
        return [_issue("invalid_url", "url must begin with http:// or https://.")]
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        return [_issue("userinfo_in_url", "url must not contain a user or password; send them in headersJson.")]
    if not parts.hostname:
        return [_issue("invalid_url", "url names no host; it looks like https://example.com/path.")]
    if parts.netloc.endswith(":") or port == 0:
        return [_issue("invalid_url", "url has an empty or zero port.")]
    return _check_host(parts, port, policy)


def _check_host(parts: SplitResult, port: int | None, policy: AddressPolicy) -> list[Issue]:
    host = parts.hostname or ""
    if policy.opens(host):
        return []
    refused = f"url leads to {host[:100]}, which is not a public address. {REMEDY}"
    if "[" in parts.netloc:
        literal = _literal(host)
        if literal is None or not policy.allows(literal):
            return [_issue("blocked_address", refused)]
    elif (literal := _literal(host)) is not None:
        if not policy.allows(literal):
            return [_issue("blocked_address", refused)]
    elif _NUMERIC_HOST.fullmatch(host):
        return [_issue("invalid_url", "url writes an address in an unusual form; use four decimal numbers.")]
    elif not host.isascii() or not _HOST_NAME.fullmatch(host.removesuffix(".")):
        return [_issue("invalid_url", "url has a host that is no host name; use letters, digits, dots and hyphens.")]
    elif _is_localhost(host) and not policy.allows_localhost():
        return [_issue("blocked_address", refused)]
    if port in _REFUSED_PORTS:
        return [_issue("blocked_port", f"url uses port {port}, which belongs to another protocol than HTTP.")]
    return []


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver, on threads of its own: names that time out must not hold up anybody else's."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    answers = await asyncio.get_running_loop().run_in_executor(_RESOLVING, ask)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


async def judge(host: str, port: int, policy: AddressPolicy, resolver: Resolver) -> list[Address]:
    """Return the addresses that may be dialled for a host: resolved once, every answer allowed, or none of them.

    Raises BlockedAddressError, or OSError for a name without addresses.
    """
    literal = _literal(host)
    if literal is not None:
        if not policy.allows(literal):
            raise BlockedAddressError(f"{host} is not a public address. {REMEDY}")
        return [literal]
    try:
        answers = await resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise OSError(f"the name {host} could not be resolved") from error
    judged = [address for answer in answers if (address := _literal(answer)) is not None]
    if not judged or len(judged) < len(answers):
        raise OSError(f"the name {host} could not be resolved")
    if not policy.opens(host) and not all(policy.allows(address) for address in judged):
        raise BlockedAddressError(f"{host} leads to an address that is not public. {REMEDY}")
    return judged


def _literal(host: str) -> Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_localhost(host: str) -> bool:
    name = host.removesuffix(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _issue(code: str, detail: str) -> Issue:
    return Issue("/url", code, detail)
