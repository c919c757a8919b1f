"""The health view: who gets the report, what it says, and what it does not say."""

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from django_docraptor.models import Heartbeat
from tests.support.jobs import enqueue, skip_time

pytestmark = pytest.mark.django_db
TOKEN = "a-token-of-a-monitor-42"


@pytest.fixture(autouse=True)
def _token(settings: Any) -> None:
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"HEALTH_TOKEN": TOKEN, "RUNNER": "none"}


def get(token: str = TOKEN, scheme: str = "Bearer", method: str = "get") -> Any:
    """Return the view's response to a request with a token."""
    url = reverse("django_docraptor:health")
    headers = {"Authorization": f"{scheme} {token}"} if token else {}
    return getattr(Client(), method)(url, headers=headers)


def test_healthy_site() -> None:
    """A site without problems is ok; nothing may keep the response."""
    Heartbeat.record("ticked_at", "worked_at")
    response = get()
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    data = response.json()
    assert (data["status"], data["problems"], data["lag"]) == ("ok", [], 0)
    assert data["counts"]["pending"] == 0


def test_problems_are_told() -> None:
    """A site with late jobs answers 503, and says what to do."""
    enqueue(name="secret-of-anna.pdf")
    skip_time(3600)
    response = get()
    assert response.status_code == 503
    assert response.json()["status"] == "problems"
    assert "docraptor_tick" in response.json()["problems"][0]
    assert response.json()["lag"] > 3000
    assert "secret-of-anna" not in response.content.decode()


@pytest.mark.fault("M3")
@pytest.mark.parametrize(
    "token", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "schlüssel"]
)
def test_other_tokens_find_nothing(token: str) -> None:
    """Without the right token there is no such page, and nothing is told."""
    response = get(token)
    assert response.status_code == 404
    assert response.content == b""


def test_other_scheme_finds_nothing() -> None:
    """The token is a bearer token, not a password."""
    assert get(scheme="Basic").status_code == 404
    assert get(scheme="bearer").status_code == 200


@pytest.mark.fault("M3")
@pytest.mark.parametrize("value", ["", None])
def test_no_setting_no_view(value: object, settings: Any) -> None:
    """Without a token in the settings no one gets the report, also not with an empty one."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"HEALTH_TOKEN": value}
    for token in ("", " ", TOKEN):
        assert get(token).status_code == 404


def test_only_get() -> None:
    """The view changes nothing, so that it accepts GET and HEAD only."""
    assert get(method="head").status_code == 200
    for method in ("post", "put", "delete"):
        assert get(method=method).status_code == 405


def test_unavailable_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is down the view says so, without the error's text."""

    def fail() -> None:
        raise OperationalError("connection to server at db.internal, user shop failed")

    monkeypatch.setattr("django_docraptor.views.monitoring.health_report", fail)
    response = get()
    assert response.status_code == 503
    assert "database" in response.json()["problems"][0]
    assert "db.internal" not in response.content.decode()
