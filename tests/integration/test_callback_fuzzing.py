"""Thousands of random requests to the callback view: no 5xx, no change, no memory growth."""

import logging
import random
import resource
import string
import uuid

import pytest
from django.core.signing import TimestampSigner
from django.test import Client

from django_docraptor import lifecycle
from django_docraptor.callback_urls import make_token
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.sandbox import Sandbox
from tests.support.jobs import enqueue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

REQUESTS = 6_000
METHODS = ["POST"] * 8 + ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]
TYPES = [
    "application/json", "application/x-www-form-urlencoded", "text/plain; charset=no-such",
    "multipart/form-data", "multipart/form-data; boundary=x", "", "\u00e9", "application/xml",
]  # fmt: skip
BODIES = [
    b"", b"\0" * 100, b"{", b"[" * 5000, b"a=b&" * 2000, b"--x\r\nContent-Disposition: form-data",
    b"\xff\xfe\x00", b"download_url=http://127.0.0.1:9/x&download_id=../../x", b"x" * 100_000,
]  # fmt: skip


def random_tokens(dice: random.Random, valid: list[str]):
    """Yield strings that resemble a token more or less, and are never valid."""
    foreign = TimestampSigner(key="foreign", salt="django_docraptor.callback", sep=".")
    other_salt = TimestampSigner(salt="other", sep=".")
    while True:
        token = dice.choice(valid)
        place = dice.randrange(len(token))
        one, two = dice.choice(valid).split(".", 1)[0], dice.choice(valid).split(".", 1)[1]
        yield dice.choice(
            [
                token[:place],
                token[:place] + dice.choice(string.printable) + token[place + 1 :],
                token + dice.choice(string.ascii_letters),
                f"{one}0.{two}",
                foreign.sign(f"{uuid.uuid4().hex}-1"),
                other_salt.sign(token.split(".")[0]),
                "".join(dice.choices(string.printable, k=dice.randrange(1, 300))),
                "\u00e9\u4e2d\U0001f600" * dice.randrange(1, 20),
                "%00", "..", "%2e%2e%2f", "a" * 5000,
            ]
        )  # fmt: skip


def peak_memory() -> int:
    """Return the peak memory of this process in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.fault("W4", "W6")
def test_random_callbacks_get_4xx_and_change_nothing(sandbox: Sandbox, monkeypatch) -> None:
    """Random methods, tokens, content types and bodies get 4xx responses and change no row."""
    # pytest keeps every log record, and Django's records keep their request.
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)
    jobs = [enqueue() for _ in range(5)]
    lifecycle.submit()
    valid = [make_token(job.pk, 1) for job in jobs]
    before = list(RenderJob.objects.order_by("pk").values()), RenderEvent.objects.count()
    asked = len(sandbox.calls)
    dice = random.Random(4711)
    client, made = Client(raise_request_exception=False), random_tokens(dice, valid)
    statuses: set[int] = set()
    warm = 0
    for number in range(REQUESTS):
        token = next(made)
        if token in valid:
            continue
        answer = client.generic(
            dice.choice(METHODS),
            f"/docraptor/callback/{token}/",
            data=dice.choice(BODIES),
            content_type=dice.choice(TYPES),
        )
        statuses.add(answer.status_code)
        if number == REQUESTS // 10:
            warm = peak_memory()
    assert statuses <= {301, 404, 405}
    after = list(RenderJob.objects.order_by("pk").values()), RenderEvent.objects.count()
    assert after == before
    assert len(sandbox.calls) == asked
    assert peak_memory() - warm < 30 * 1024


@pytest.mark.fault("W5")
def test_callback_replayed_a_thousand_times_adds_one_event(
    sandbox: Sandbox, client: Client
) -> None:
    """A valid callback that is sent a thousand times adds one event."""
    job = enqueue()
    lifecycle.submit()
    url = f"/docraptor/callback/{make_token(job.pk, 1)}/"
    assert {client.post(url).status_code for _ in range(1000)} == {204}
    assert job.events.filter(kind="callback").count() == 1
