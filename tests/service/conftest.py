"""The three ways to a Mycelium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.buses import World, egos_mycelium_network, on_nats, our_mycelium
from tests.support.nats_server import running


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("nats")) as server:
        yield server.url


@pytest.fixture(params=["ours", "egos", "nats"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "nats":
        return on_nats(request.getfixturevalue("nats_url"))
    return {"ours": our_mycelium, "egos": egos_mycelium_network}[request.param]
