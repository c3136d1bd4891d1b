"""The address of a Ray cluster is tried before Ray starts, which would itself try for minutes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from meshnet.cluster.on_ray import check_address
from meshnet.train.config import ConfigError


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "localhost:{}", "ray://127.0.0.1:{}"])
def test_an_address_that_nothing_answers_at_is_refused_at_once(form: str, closed_port: int) -> None:
    address = form.format(closed_port)
    with pytest.raises(ConfigError) as refusal:
        check_address(address)
    said = str(refusal.value)
    assert said.startswith(f"--ray-address {address}: no Ray cluster answers there (Connection refused); expected HEAD")


@pytest.mark.parametrize("address", ["nowhere", "ray://head", "head:port", "head:70000", ":6379", "[::1:6379"])
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"is no host and port; expected HEAD:6379 or ray://HEAD:10001"):
        check_address(address)


def test_a_host_that_answers_and_forms_without_a_host_are_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for address in ("", "auto", "local", "ray://local", "other://cluster"):
        check_address(address)
    with socket.create_server(("127.0.0.1", 0)) as head:
        port = head.getsockname()[1]
        check_address(f"127.0.0.1:{port}")
        check_address(f"ray://127.0.0.1:{port}")
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        check_address("auto")


def test_auto_tries_the_address_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed_port}")
    with pytest.raises(ConfigError, match=rf"--ray-address auto \(RAY_ADDRESS=127.0.0.1:{closed_port}\): no Ray"):
        check_address("auto")
