"""What is said of ports and addresses."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from avatar.system.ports import address_for_others, why_not_bound


def test_a_port_in_use_is_told_without_its_arguments() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError) as caught:
        socket.create_server(taken.getsockname())
    why = why_not_bound(caught.value)
    assert why and "127.0.0.1" not in why and "(" not in why


def test_others_are_told_an_address_that_leads_here() -> None:
    assert address_for_others("192.168.1.20") == "192.168.1.20"
    found = address_for_others("0.0.0.0")
    if found != socket.gethostname():  # which stands in where no network is
        assert not ipaddress.ip_address(found).is_unspecified


def test_without_a_network_the_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert address_for_others("0.0.0.0") == socket.gethostname()
