"""Opening connections: the only place where a socket is made towards a target."""

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NamedTuple

import certifi

from rubato.adapters.http.connection import Connection

NEXT_AFTER_S = 5.0  # an address that answers nothing is left for the next one after this long


class Origin(NamedTuple):
    """Where requests of one tenant go, and what connections are kept by."""

    tenant_id: str
    host: str
    port: int
    is_tls: bool


class DialError(Exception):
    """No connection came about. The message is fit to show; it names no address that a name resolved to."""


@dataclass(frozen=True, slots=True)
class Dialler:
    """Opens connections to addresses that were judged. TLS is always verified, against the system's authorities."""

    tls: ssl.SSLContext
    make: Callable[[], Connection]

    async def dial(self, origin: Origin, addresses: Sequence[IPv4Address | IPv6Address]) -> Connection:
        """Connect to the first of these addresses that answers. The caller sets the deadline. Raises DialError."""
        failure: Exception | None = None
        for address in addresses:
            is_last = address is addresses[-1]
            try:
                async with asyncio.timeout(None if is_last else NEXT_AFTER_S):
                    return await self._connect(origin, address)
            except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot ask for
                failure = error
        raise DialError(_words(failure)) from failure

    async def _connect(self, origin: Origin, address: IPv4Address | IPv6Address) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            self.make,
            str(address),  # digits: nothing is resolved again
            origin.port,
            ssl=self.tls if origin.is_tls else None,
            server_hostname=origin.host if origin.is_tls else None,
        )
        return connection


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities; certifi's where the system has none, as in slim images."""
    paths = ssl.get_default_verify_paths()
    has_some = bool(paths.cafile) or (bool(paths.capath) and any(Path(paths.capath).iterdir()))
    context = ssl.create_default_context(cafile=None if has_some else certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _words(error: Exception | None) -> str:
    """Say what went wrong without an address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed: {(error.reason or type(error).__name__).lower().replace('_', ' ')}"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, TimeoutError):
        return "nothing answered"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return type(error).__name__
