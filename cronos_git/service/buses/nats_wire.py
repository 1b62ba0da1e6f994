"""The connection to a NATS server: addresses, credentials, TLS, and what its errors mean. Needs `nats-py`.

nats-py reconnects by itself when the network fails, for ever. It gives up when the server tells an error (credentials that have
run out, say), and tries for ever when it cannot even begin; `dial` makes a clear error of the second, and tells its caller of
the first. Over `tls://`, and whenever certificates are configured, no credential is sent before TLS is up. Floor F10.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import nats.errors
from nats.aio.client import DEFAULT_FLUSH_TIMEOUT, Client

from cronos_git.errors import BusError, ConfigError
from cronos_git.integrations.koios import python_logger
from cronos_git.rules.remotes import shown

SCHEMES = ("nats", "tls")

_PING_EVERY_S = 20
_ATTEMPT_S = 5
_GOODBYE_S = 0.5
_GLANCE_S = 0.001
_MOST_REFUSALS = 10
_JWT = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)\s")
_SEED = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(\S+)\s")

_log = python_logger("CRONOS.Bus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a server is, and what it is told to be let in.

    Attributes:
        url: `nats://` or `tls://`, with user and password or a token where URLs have them.
        credentials_file: Path of a file with a JWT and the seed of its key; empty for none. Read at each connection.
        ca: Path of the certificates that the server's must be signed by; empty for those that the machine trusts.
        certificate: Path of our certificate, for a server that asks for one; empty for none.
        key: Path of its private key; empty when that is in the same file.
    """

    url: str
    credentials_file: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def insists_on_tls(self) -> bool:
        """Whether nothing may be sent in the clear."""
        return bool(self.url.startswith("tls://") or self.ca or self.certificate)


class Wire(Client):
    """A connection that tells errors to those who wait for it, and logs the later ones.

    Attributes:
        address: Where it leads, as it may be shown.
        refusals: The first things that the server has not allowed.
        lacks_certificate: Whether the server asks for a certificate of ours, and there is none.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.address = shown(access.url)
        self._insists_on_tls = access.insists_on_tls
        self._has_certificate = bool(access.certificate)
        self._joined = False
        self.refusals: list[str] = []
        self.lacks_certificate = False

    async def trouble(self, error: Exception) -> None:
        """Take note of what nats-py could not do; the first attempt to connect ends with it."""
        if not self._joined:
            raise error
        if "permissions violation" in str(error).lower() and len(self.refusals) < _MOST_REFUSALS:
            self.refusals.append(str(error).removeprefix("nats: "))
        _log.warning("NATS: %s", str(error) or type(error).__name__)

    def joined(self) -> None:
        """The first connection stands; from now on errors are only told."""
        self._joined = True

    async def flush(self, timeout: int = DEFAULT_FLUSH_TIMEOUT) -> None:
        """Return once the server has had all that was sent before; nats-py alone lets its ping overtake what waits to be sent."""
        glances = itertools.chain(itertools.repeat(0.0, 100), itertools.repeat(_GLANCE_S))  # mostly it takes no time
        while self.pending_data_size and self.is_connected:
            await asyncio.sleep(next(glances))
        await super().flush(timeout)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._insists_on_tls and not info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        self.lacks_certificate = bool(info.get("tls_verify")) and not self._has_certificate
        await super()._process_info(info, initial_connection)


async def dial(
    access: Access, *, name: str, retry_s: float, on_closed: Callable[[], Awaitable[None]], on_back: Callable[[], Awaitable[None]]
) -> Wire:
    """A connection that stands.

    Args:
        name: What the server's monitoring calls it.
        retry_s: How long to wait between attempts to reconnect.
        on_closed: Told when nats-py has given up for good, or was closed.
        on_back: Told when a connection stands again.

    Raises:
        ConfigError: The address, a certificate or the credentials file cannot be used.
        BusError: The server cannot be reached, or does not let us in.
    """
    logging.getLogger("asyncio").addFilter(_is_meant)
    url = parsed(access.url)
    options = _identity(url) | _credentials(access) | _tls(access)
    host = url.netloc.rpartition("@")[2]
    wire = Wire(access)
    try:
        await wire.connect(
            [f"{url.scheme}://{host}"],
            name=name,
            error_cb=wire.trouble,
            closed_cb=on_closed,
            reconnected_cb=on_back,
            connect_timeout=_ATTEMPT_S,
            reconnect_time_wait=retry_s,  # type: ignore[arg-type]
            max_reconnect_attempts=-1,
            ping_interval=_PING_EVERY_S,
            **options,
        )
        if not wire.is_connected:  # the server hung up without a word, as TLS 1.3 does about a missing certificate
            raise ConnectionResetError("it ended the connection")
    except (OSError, nats.errors.Error) as error:
        await hang_up(wire)
        if wire.lacks_certificate and not isinstance(error, ssl.SSLCertVerificationError):
            raise _certificate_missing(access.url) from error
        raise unreachable(access.url, error) from error
    except BaseException:
        await hang_up(wire)
        raise
    wire.joined()
    return wire


def _is_meant(record: logging.LogRecord) -> bool:
    """Not what asyncio warns of at the end of every TLS connection of nats-py, which changes to TLS past asyncio's streams."""
    return not str(record.msg).startswith("returning true from eof_received()")


async def hang_up(wire: Client) -> None:
    """End a connection, in whatever state it is, waiting a moment only: asyncio never sees the end of one whose TLS failed."""
    closing = asyncio.ensure_future(wire.close())
    if not (await asyncio.wait([closing], timeout=_GOODBYE_S))[0]:
        closing.cancel()
        await asyncio.wait([closing])
    with contextlib.suppress(OSError, nats.errors.Error, asyncio.CancelledError):  # of nats-py's own attempts to reconnect, too
        closing.result()


def parsed(url: str) -> SplitResult:
    """*url* in its parts.

    Raises:
        ConfigError: It is no address of a NATS server.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme in SCHEMES and parts.hostname and (parts.port is None or parts.port):
            return parts
    except ValueError:
        pass
    raise ConfigError(
        f"{shown(url)!r} is no address of a NATS server.", hint="Give one such as nats://host:4222 or tls://host:4222."
    )


def _certificate_missing(url: str) -> BusError:
    return BusError(
        f"The bus at {shown(url)} does not let us in without a certificate.", hint="Give it in `bus_certificate` and `bus_key`."
    )


def unreachable(url: str, error: Exception) -> BusError:
    """What *error* means to somebody who wants to reach the server at *url*."""
    server, told = shown(url), str(error).removeprefix("nats: ").strip("'\" ") or type(error).__name__
    if "authorization" in told.lower() or "authentication" in told.lower():
        return BusError(
            f"The bus at {server} does not let us in: {told}.",
            hint="Check the user, password or token in `bus`, or `bus_credentials`.",
        )
    if isinstance(error, nats.errors.SecureConnWantedError):
        return BusError(
            f"The bus at {server} offers no TLS; nothing was sent to it.", hint="Give its address as nats://… if that is meant."
        )
    if isinstance(error, ssl.SSLError) or "certificate" in told.lower():
        return BusError(
            f"The bus at {server} and we do not agree on TLS: {told}.", hint="Check `bus_ca`, `bus_certificate` and `bus_key`."
        )
    if isinstance(error, TimeoutError):
        told = f"no answer in {_ATTEMPT_S} s"
    return BusError(f"The bus at {server} cannot be reached: {told}.", hint="Does the NATS server run, and is the address right?")


@contextlib.contextmanager
def failing(url: str, what: str) -> Iterator[None]:
    """Errors of NATS as ours; *what* is what the bus at *url* cannot do then.

    Raises:
        BusError: NATS failed in the block.
    """
    try:
        yield
    except (OSError, nats.errors.Error) as error:
        told = str(error).removeprefix("nats: ") or type(error).__name__
        raise BusError(f"The bus at {shown(url)} cannot {what}: {told}.", hint="See the server's log.") from error


def unanswered(error: BusError, node: str, topic: str, timeout_s: float) -> BusError:
    """What became of a question, by the error that it ended with."""
    if isinstance(error.__cause__, nats.errors.NoRespondersError):
        return BusError(f"Nobody on the bus serves {topic} for {node}.", hint="Does it run?")
    if isinstance(error.__cause__, nats.errors.TimeoutError):
        return BusError(
            f"{node} has not answered {topic} in {timeout_s:g} s.",
            hint="It may still do what it was asked to; ask for its status.",
        )
    return error


# --- who we are -------------------------------------------------------------------------------------------------------


def _identity(url: SplitResult) -> dict[str, Any]:
    if url.username is None:
        return {}
    if url.password is None:
        return {"token": unquote(url.username)}
    return {"user": unquote(url.username), "password": unquote(url.password)}


def _credentials(access: Access) -> dict[str, Any]:
    if not access.credentials_file:
        return {}
    try:
        import nkeys
    except ModuleNotFoundError as missing:
        raise BusError(
            "A credentials file needs nkeys, which is not installed.", hint="Install it with: pip install 'cronos_git[nats]'"
        ) from missing
    path = access.credentials_file

    def signature(nonce: str) -> bytes:
        try:
            pair = nkeys.from_seed(bytearray(_part(path, _SEED)))
            return base64.b64encode(pair.sign(nonce.encode()))
        except (ValueError, nkeys.NkeysError) as error:
            raise ConfigError(f"The seed in {path} is no key of a user.", hint="See `bus_credentials`.") from error

    _part(path, _JWT), signature("a trial")
    return {"user_jwt_cb": _for_nats(lambda: _part(path, _JWT)), "signature_cb": _for_nats(signature)}


def _for_nats(give: Callable[..., bytes]) -> Callable[..., bytes]:
    """*give*, with errors that nats-py takes for a failed attempt; others would end its attempts to reconnect."""

    def given(*words: str) -> bytes:
        try:
            return give(*words)
        except ConfigError as error:
            raise nats.errors.Error(error.message) from error

    return given


def _part(path: str, pattern: re.Pattern[str]) -> bytes:
    """The JWT or the seed in a credentials file."""
    try:
        match = pattern.search(Path(path).read_text(encoding="ascii") + "\n")
    except (OSError, ValueError) as error:
        raise ConfigError(f"The credentials file {path} cannot be read: {error}.", hint="See `bus_credentials`.") from error
    if match is None:
        raise ConfigError(
            f"{path} is no NATS credentials file.", hint="`nsc generate creds` writes one: a user JWT and the seed of its key."
        )
    return match[1].encode()


def _tls(access: Access) -> dict[str, Any]:
    if not access.insists_on_tls:
        return {}
    try:
        context = ssl.create_default_context(cafile=access.ca or None)
        if access.certificate:
            context.load_cert_chain(access.certificate, access.key or None, password=_no_password)
    except (OSError, ValueError) as error:
        files = ", ".join(path for path in (access.ca, access.certificate, access.key) if path)
        raise ConfigError(
            f"The certificates for the bus cannot be used ({files}): {error}.", hint="See `bus_ca`, `bus_certificate`, `bus_key`."
        ) from error
    return {"tls": context}


def _no_password() -> str:
    raise ValueError("the private key asks for a password")
