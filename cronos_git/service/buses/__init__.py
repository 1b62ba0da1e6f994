"""The ways to the Mycelium: inside this process, through an interface of EGOS's shape, or over NATS. Floor F10."""

from __future__ import annotations

from typing import Any, cast

from cronos_git.errors import BusError, UsageError
from cronos_git.ports import Bus
from cronos_git.rules.schema import Settings

_NODE_ID = "CRONOS"


def open_bus(mycelium: object, settings: Settings) -> Bus:
    """The bus that *mycelium* means; it is not connected yet.

    Args:
        mycelium: None for a Mycelium of its own inside this process; the address of a NATS server (`nats://…` or `tls://…`); or
            an object: an interface in the shape of EGOS's `MyceliumInterface`, a network in the shape of its `MyceliumNetwork`,
            a client that subscribes with decorators, or a bus.
        settings: Message limit, and what `bus` needs to be let in.

    Raises:
        UsageError: It is none of these.
        BusError: It is an address, and what is needed for NATS is not installed.
    """
    if mycelium is None:
        from cronos_git.service.buses.in_process import MyceliumNetwork

        mycelium = MyceliumNetwork()
    if isinstance(mycelium, str):
        return _nats(mycelium, settings)
    return _around(mycelium, settings.message_limit)


def _around(mycelium: Any, limit_bytes: int) -> Bus:
    if all(hasattr(mycelium, name) for name in ("route_message", "nodes")):
        from cronos_git.service.buses.in_process import MyceliumInterface

        mycelium = MyceliumInterface(mycelium, _NODE_ID)
    if all(hasattr(mycelium, name) for name in ("network", "publish_event", "connect")):
        from cronos_git.service.buses.mycelium import MyceliumBus

        return MyceliumBus(mycelium, limit_bytes=limit_bytes)
    if all(hasattr(mycelium, name) for name in ("ask", "publish", "limit_bytes")):
        return cast(Bus, mycelium)
    if all(hasattr(mycelium, name) for name in ("subscribe", "publish")):
        from cronos_git.service.buses.decorator import DecoratorBus

        return DecoratorBus(mycelium, limit_bytes=limit_bytes)
    raise UsageError(
        f"{type(mycelium).__name__} is no way to the Mycelium.",
        hint="Give nothing, an address such as nats://host:4222, or an interface in the shape of EGOS's MyceliumInterface.",
    )


def _nats(address: str, settings: Settings) -> Bus:
    try:
        from cronos_git.service.buses.nats import NatsBus
    except ModuleNotFoundError as missing:
        raise BusError(
            f"The bus needs {missing.name}, which is not installed.", hint="Install it with: pip install 'cronos_git[nats]'"
        ) from missing
    return NatsBus(
        address,
        credentials_file=settings.bus_credentials,
        ca=settings.bus_ca,
        certificate=settings.bus_certificate,
        key=settings.bus_key,
        limit_bytes=settings.message_limit,
    )
