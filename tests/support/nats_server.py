"""A real NATS server on a loopback port, as tests want it: with users, tokens or TLS, to be stopped, killed and started again."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nkeys

SERVER = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"


class NatsServer:
    """A server that can go and come again on the same port.

    Attributes:
        host: What to call it in an address: `127.0.0.1:<port>`.
    """

    def __init__(self, place: Path, config: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"nats://{self.host}"
        self._log = place / f"nats-{self.port}.log"
        self._config = place / f"nats-{self.port}.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(config)

    def configure(self, config: str) -> None:
        """Have the server begin with *config*, or take it on at `reload`."""
        self._config.write_text(f'listen: "{self.host}"\nlogfile: "{self._log}"\n{config}\n')

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._process = subprocess.Popen([SERVER, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.005)
        raise AssertionError(f"nats-server did not start:\n{self._log.read_text() if self._log.exists() else ''}")

    def reload(self) -> None:
        """Have it read its configuration again."""
        subprocess.run([SERVER, "--signal", f"reload={self._pid}"], check=True, capture_output=True)

    def stop(self) -> None:
        """End it in an orderly way. Nothing when it does not run."""
        self._end(kill=False)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(kill=True)

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill() if kill else process.terminate()
            process.wait(20)


@contextlib.contextmanager
def running(place: Path, config: str = "") -> Iterator[NatsServer]:
    """A server for the length of the block."""
    server = NatsServer(place, config)
    try:
        server.start()
        yield server
    finally:
        server.stop()


# --- certificates -----------------------------------------------------------------------------------------------------


def certificates(place: Path) -> dict[str, Path]:
    """Certificates and keys in *place*: of an authority (`ca`), a server on 127.0.0.1 and a client, and of another authority."""
    for authority in ("ca", "other"):
        _openssl(place, f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {authority}.key -out "
                 f"{authority}.pem -days 2 -subj /CN={authority}")  # fmt: skip
    for name in ("server", "client"):
        (place / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        _openssl(place, f"req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr "
                 f"-subj /CN={name}")  # fmt: skip
        _openssl(place, f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext "
                 f"-out {name}.pem")  # fmt: skip
    return {path.name: path for path in place.iterdir()}


def _openssl(place: Path, words: str) -> None:
    subprocess.run(["openssl", *words.split()], cwd=place, check=True, capture_output=True)


# --- operator mode ----------------------------------------------------------------------------------------------------


def operator_config(place: Path) -> tuple[str, Path]:
    """A configuration in operator mode, with its accounts in memory, and the credentials file of a user."""
    operator, account, user = (
        _pair(prefix) for prefix in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    )
    limits = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    operator_jwt = _jwt("operator", operator, operator, {})
    account_jwt = _jwt("account", account, operator, {"limits": limits, "default_permissions": {"pub": {}, "sub": {}}})
    user_jwt = _jwt("user", user, account, {"subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}})
    credentials = place / "user.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    config = f"operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload: {{ {account.public_key.decode()}: {account_jwt} }}\n"
    return config, credentials


def _pair(prefix: int) -> nkeys.KeyPair:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(hashlib.sha256(bytes([prefix & 255])).digest(), prefix)))


def _jwt(kind: str, subject: nkeys.KeyPair, issuer: nkeys.KeyPair, claims: dict[str, object]) -> str:
    """A JWT of NATS, version 2, signed by *issuer*."""
    body: dict[str, object] = {
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "name": kind,
        "sub": subject.public_key.decode(),
        "nats": {**claims, "type": kind, "version": 2},
    }
    digest = hashlib.new("sha512_256", json.dumps(body, separators=(",", ":")).encode()).digest()
    body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    parts = [_base64(json.dumps(part, separators=(",", ":")).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)]
    signature = issuer.sign(".".join(parts).encode())
    return ".".join([*parts, _base64(signature)])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
