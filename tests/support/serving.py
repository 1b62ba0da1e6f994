"""A `cronos` command that starts at once: a process that has loaded the code forks for every call.

Each call still is a process of its own, with the words, channels, directory and environment that it was given; only the loading,
two thirds of a short command, is done once. Started as `python -m tests.support.serving SOCKET`.
"""

from __future__ import annotations

import contextlib
import importlib
import marshal
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import cronos_git

_CLIENT = """\
#!{python} -IS
import _socket, marshal, os, struct, sys
call = marshal.dumps((sys.argv, os.getcwdb(), list(os.environb.items())))
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect({path!r})
server.sendmsg([b"-"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("3i", 0, 1, 2))])
while call:
    call = call[server.send(call):]
server.shutdown(_socket.SHUT_WR)
answer = server.recv(1)
sys.exit(answer[0] if answer else 70)
"""
_UNLOADED = ("__main__", "reference")


@contextlib.contextmanager
def served(environment: Mapping[str, str]) -> Iterator[str]:
    """The text of a `cronos` command that works for the length of the block."""
    source = Path(cronos_git.__file__).parents[1]
    with tempfile.TemporaryDirectory(prefix="cronos-") as place:  # a short path: sockets allow for no other
        path = Path(place) / "socket"
        server = subprocess.Popen([sys.executable, "-m", __name__, path], cwd=source, env=environment)
        try:
            while not path.exists() and server.poll() is None:
                time.sleep(0.01)
            yield _CLIENT.format(python=sys.executable, path=str(path))
        finally:
            server.terminate()
            server.wait()


def serve(path: str) -> NoReturn:
    """Answer calls for ever."""
    for module in pkgutil.walk_packages(cronos_git.__path__, "cronos_git."):
        if not module.name.endswith(_UNLOADED):
            importlib.import_module(module.name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path + ".new")
    listener.listen(16)
    os.rename(path + ".new", path)
    while True:
        caller, _ = listener.accept()
        with caller:
            if os.fork() == 0:
                listener.close()
                _answer(caller)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _answer(caller: socket.socket) -> NoReturn:
    """Have a process be the command that the caller wants, and tell how that ended."""
    _, channels, _, _ = socket.recv_fds(caller, 1, 3)
    words, directory, environment = marshal.loads(b"".join(iter(lambda: caller.recv(65536), b"")))
    command = os.fork()
    if command == 0:
        _be(words, directory, dict(environment), channels)
    ended = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    caller.send(bytes([ended if ended >= 0 else 128 - ended]))
    os._exit(0)


def _be(words: list[str], directory: bytes, environment: Mapping[bytes, bytes], channels: Sequence[int]) -> NoReturn:
    status = 1
    try:
        for number, channel in enumerate(channels):
            os.dup2(channel, number)
            os.close(channel)
        os.chdir(directory)
        os.environb.clear()
        os.environb.update(environment)
        modes = (("r", "surrogateescape"), ("w", "strict"), ("w", "backslashreplace"))
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, encoding="utf-8", errors=errors) for number, (mode, errors) in enumerate(modes)
        )
        sys.argv = words
        status = importlib.import_module("cronos_git.cli").main(words[1:])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
