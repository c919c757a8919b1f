"""Job specs: which are refused, under which field, and what is stored for the others.

The tests call enqueue(), to see that a refused spec leaves nothing behind.
"""

from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.utils import timezone as django_timezone
from django.utils import translation
from django.utils.functional import SimpleLazyObject

from django_docraptor.models import RenderEvent, RenderInput, RenderJob
from django_docraptor.payloads import PrinceOptions
from django_docraptor.sandbox import Sandbox
from django_docraptor.shortcuts import enqueue, render_now
from django_docraptor.states import State
from tests.apps.shop.models import Invoice
from tests.support.jobs import HTML

pytestmark = pytest.mark.django_db

GOOD: dict[str, Any] = {"name": "hello.pdf", "content": HTML}
NAIVE = datetime(2031, 1, 1)  # noqa: DTZ001 - the mistake under test
# Field, and arguments that are invalid.
BAD: list[tuple[str, dict[str, Any]]] = [
    ("content", {"content": ""}),
    ("content", {"content": "   \n"}),
    ("content", {"url": "https://shop.example/invoice"}),
    ("content", {"document": "shop.InvoicePDF", "content": "", "url": "https://shop.example"}),
    ("content", {"content": b"<p>bytes</p>"}),
    ("content", {"content": "<p>\x00</p>"}),
    ("content", {"content": '<img src="/logo.png">'}),
    ("content", {"content": "<p>" + "é" * 600 + "</p>"}),
    ("url", {"content": "", "url": "/invoice"}),
    ("url", {"content": "", "url": "file:///etc/passwd"}),
    ("name", {"name": "n" * 201}),
    ("name", {"name": ""}),
    ("name", {"name": "  "}),
    ("name", {"name": None}),
    ("name", {"name": "a\x00b.pdf"}),
    ("name", {"name": "a\ud800.pdf"}),
    ("document_type", {"document_type": "docx"}),
    ("test", {"test": "yes"}),
    ("anything", {"options": {"anything": object()}}),
    ("tag", {"options": {"tag": "t" * 201}}),
    ("tag", {"options": {"tag": "t" * 162}}),
    ("callback_url", {"options": {"callback_url": "https://shop.example/ready"}}),
    ("test", {"options": {"test": False}}),
    ("prince_options", {"options": {"prince_options": {"key_bits": 41}}}),
    ("hosted_expires_at", {"options": {"hosted_expires_at": NAIVE}}),
    ("params", {"params": {"total": object()}}),
    ("params", {"params": {"total": float("nan")}}),
    ("params", {"params": [1, 2]}),
    ("params", {"params": None}),
    ("options", {"options": None}),
    ("options", {"options": [("javascript", True)]}),
    ("owner", {"owner": AnonymousUser()}),
    ("owner", {"owner": SimpleLazyObject(AnonymousUser)}),
    ("owner", {"owner": User(username="new")}),
    ("owner", {"owner": User(pk=5, username="new")}),
    ("owner", {"owner": Invoice(pk=5, number="1")}),
    ("owner", {"owner": 5}),
    ("priority", {"priority": 32768}),
    ("priority", {"priority": -32769}),
    ("priority", {"priority": "high"}),
    ("priority", {"priority": True}),
    ("idempotency_key", {"idempotency_key": "k" * 201}),
    ("idempotency_key", {"idempotency_key": ""}),
    ("idempotency_key", {"idempotency_key": 17}),
    ("idempotency_key", {"idempotency_key": "a\x00b"}),
    ("account", {"account": "a" * 65}),
    ("account", {"account": ""}),
    ("document", {"document": "d" * 201}),
    ("source", {"source": Invoice(number="1")}),
    ("source", {"source": Invoice(pk=5, number="1")}),
    ("storage", {"storage": "nowhere"}),
    ("storage", {"storage": "staticfiles"}),
    ("storage", {"storage": None}),
    ("storage", {"storage": ["docraptor"]}),
    ("hosted", {"hosted": "yes"}),
    ("hosted_expires_at", {"hosted_expires_at": datetime(2131, 1, 1, tzinfo=UTC)}),
    ("hosted_download_limit", {"hosted_download_limit": 5}),
    ("hosted_expires_at", {"hosted": True, "hosted_expires_at": datetime(2131, 1, 1)}),  # noqa: DTZ001
    ("hosted_expires_at", {"hosted": True, "hosted_expires_at": datetime(2021, 1, 1, tzinfo=UTC)}),
    ("hosted_expires_at", {"hosted": True, "hosted_expires_at": "soon"}),
    ("hosted_download_limit", {"hosted": True, "hosted_download_limit": 0}),
    ("hosted_download_limit", {"hosted": True, "hosted_download_limit": True}),
    ("reuse", {"reuse": 3600}),
    ("reuse", {"reuse": True}),
    ("reuse", {"reuse": "1 hour"}),
    ("reuse", {"reuse": timedelta(seconds=-1)}),
    ("reuse", {"reuse": timedelta(days=40_000)}),
    ("reuse", {"reuse": timedelta(hours=1)}),  # there is no source
    ("reuse", {"reuse": timedelta(hours=1), "hosted": True}),
]


@pytest.fixture(autouse=True)
def _small_content(settings) -> None:
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_CONTENT_BYTES": 1000}


@pytest.mark.parametrize(
    ("field", "given"), BAD, ids=[f"{i}-{bad[0]}" for i, bad in enumerate(BAD)]
)
def test_invalid_spec_is_refused_under_its_field(field: str, given: dict[str, Any]) -> None:
    """An invalid argument is reported under the field's name, and nothing is stored."""
    with pytest.raises(ValidationError) as caught:
        enqueue(**GOOD | given)
    assert list(caught.value.message_dict) == [field]
    assert not RenderJob.objects.exists()
    assert not RenderInput.objects.exists()
    assert not RenderEvent.objects.exists()


def test_owner_may_be_a_lazy_object() -> None:
    """`request.user`, a lazy object, is stored as its user."""
    user = User.objects.create_user("ines")
    assert enqueue(**GOOD, owner=SimpleLazyObject(lambda: user)).owner == user


def test_invalid_owner_is_named_in_the_error() -> None:
    """The error names the class that was given, even inside of a lazy object."""
    with pytest.raises(ValidationError, match="owner must be a User or None, not AnonymousUser"):
        enqueue(**GOOD, owner=SimpleLazyObject(AnonymousUser))


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, None),
        (timedelta(0), None),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta.max, timedelta(days=36_500)),
    ],
)
def test_reuse_is_stored_with_the_input(given: Any, stored: Any) -> None:
    """The age is stored; the longest is one that every database has room for."""
    job = enqueue(**GOOD, source=Invoice.objects.create(number="1"), reuse=given)
    job.refresh_from_db()
    assert (job.input.reuse, job.input.by_trigger) == (stored, False)


def test_reuse_without_a_source_names_the_remedy() -> None:
    """The error says what to pass instead."""
    with pytest.raises(ValidationError, match="pass an idempotency_key instead"):
        enqueue(**GOOD, reuse=timedelta(hours=1))


def test_unknown_argument_is_a_type_error() -> None:
    """A misspelt argument raises TypeError."""
    with pytest.raises(TypeError, match="prioritty"):
        enqueue(**GOOD, prioritty=5)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "n" * 200},
        {"name": "Rechnung Nº 5 „größte“ 請求書.pdf"},
        {"priority": 32767},
        {"priority": -32767},
        {"idempotency_key": "k" * 200},
        {"account": "a" * 64},
        {"document_type": "xlsx"},
        {"content": "<p>" + "x" * 993 + "</p>"},
        {
            "content": '<img src="/a.png">',
            "options": {"prince_options": {"baseurl": "https://x.example"}},
        },
        {"content": "", "url": "https://shop.example/invoice"},
        {"params": {"deep": [{"a": None}]}},
        {"options": {"hosted_expires_at": datetime(2031, 1, 1, tzinfo=UTC)}},
        {"options": {"tomorrows_option": 1}},
        {"storage": "default"},
        {"hosted": True, "hosted_expires_at": datetime(2131, 1, 1, tzinfo=UTC)},
        {"hosted": True, "hosted_download_limit": 1, "options": {"hosted_download_limit": 5}},
    ],
)
def test_spec_within_the_limits_is_stored(given: dict[str, Any]) -> None:
    """Values within the limits are stored."""
    enqueue(**GOOD | given)
    assert RenderJob.objects.get().state == State.PENDING


def test_options_are_merged_with_the_defaults(settings) -> None:
    """The call's options override DEFAULTS, prince_options one by one; None removes a default."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "DEFAULTS": {
            "javascript": True,
            "strict": "html",
            "prince_options": {"media": "print", "css_dpi": 96},
        }
    }
    options = {"strict": None, "prince_options": PrinceOptions(media="screen")}
    enqueue(**GOOD, options=options)
    stored = RenderInput.objects.get().options
    assert stored["javascript"] is True
    assert stored.get("strict") is None
    assert stored["prince_options"] == {"media": "screen", "css_dpi": 96}


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("given", [None, True, False])
def test_test_flag_overrides_the_setting(settings, default: bool, given: bool | None) -> None:
    """TEST_MODE is used unless the call sets the flag."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TEST_MODE": default}
    enqueue(**GOOD, test=given)
    assert RenderJob.objects.get().test is (default if given is None else given)


def test_current_language_and_time_zone_are_stored() -> None:
    """The current language and time zone are stored with the job."""
    with translation.override("de-at"), django_timezone.override("Asia/Kathmandu"):
        enqueue(**GOOD)
    stored = RenderInput.objects.get()
    assert (stored.language, stored.time_zone) == ("de-at", "Asia/Kathmandu")


@pytest.mark.parametrize(
    ("zone", "key"),
    [
        (ZoneInfo("Etc/GMT-2"), "Etc/GMT-2"),
        (ZoneInfo("UTC"), "UTC"),
        (UTC, "UTC"),
        (timezone(timedelta(hours=2)), "+02:00"),
        (django_timezone.get_fixed_timezone(90), "+01:30"),
    ],
    ids=str,
)
def test_time_zone_is_stored_by_its_key(zone: Any, key: str) -> None:
    """A time zone is stored by its key; one without a key by its offset."""
    with django_timezone.override(zone):
        enqueue(**GOOD)
    assert RenderInput.objects.get().time_zone == key


def test_language_is_blank_if_translations_are_off() -> None:
    """Without an active language, the stored language is blank."""
    with translation.override(None):
        enqueue(**GOOD)
    assert RenderInput.objects.get().language == ""


@pytest.mark.parametrize("where", ["options", "defaults"])
def test_callback_url_of_the_project_is_refused(settings, where: str) -> None:
    """A callback URL would be replaced by the engine's own, so it is refused with the reason."""
    options = {"callback_url": "https://shop.example/ready"}
    if where == "defaults":
        settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEFAULTS": options}
        options = {}
    for refuse in (enqueue, lambda **given: render_now(BytesIO(), **given)):
        with pytest.raises(ValidationError) as caught:
            refuse(**GOOD, options=options)
        (message,) = caught.value.message_dict["callback_url"]
        assert "the engine sets its own" in message
        assert "document_completed" in message
    assert not RenderJob.objects.exists()


def test_default_callback_url_can_be_unset(settings) -> None:
    """None means *not set*, as for every option."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEFAULTS": {"callback_url": "https://a.example"}}
    assert enqueue(**GOOD, options={"callback_url": None}).pk


def test_tag_that_does_not_fit_beside_the_attempts_own_is_refused(sandbox: Sandbox) -> None:
    """The message names the length that is left; a tag of that length is accepted."""
    for refuse in (enqueue, lambda **given: render_now(BytesIO(), **given)):
        with pytest.raises(ValidationError) as caught:
            refuse(**GOOD, options={"tag": "é" * 162})
        (message,) = caught.value.message_dict["tag"]
        assert "162 characters" in message
        assert "161" in message
    assert enqueue(**GOOD, options={"tag": "é" * 161}).pk
    render_now(BytesIO(), **GOOD, options={"tag": "é" * 161})
    assert sandbox.ledger.accepted()[0].tag.endswith(" " + "é" * 161)
