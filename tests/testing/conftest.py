"""Fixtures: an invoice, and no network."""

import socket

import pytest

from tests.apps.shop.models import Invoice


@pytest.fixture
def invoice() -> Invoice:
    """An invoice of 45."""
    return Invoice.objects.create(number="A-1", total=45)


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every connection fail."""

    def refuse(*args: object) -> None:
        raise AssertionError("a socket was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
