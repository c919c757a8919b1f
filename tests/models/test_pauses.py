"""Pauses: which key of an account makes no calls, until when and why."""

import pytest
from django.test import override_settings

from django_docraptor.account_settings import hash_key
from django_docraptor.models import ANY_KEY, NO_KEY, Pause
from tests.support.jobs import paused_accounts, skip_time

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def begin(account: str = "one", key_hash: str = "a", **options) -> bool:
    """Begin a pause."""
    return Pause.begin(account, key_hash, **{"seconds": 600, "reason": "HTTP 401"} | options)


def test_pause_belongs_to_one_key_of_one_account() -> None:
    """A success ends the pause of its own key and account only."""
    begin("one", "a")
    begin("one", "b")
    begin("two", "a")
    Pause.end_after_success(["one"], "a")
    assert sorted(Pause.objects.values_list("account", "key_hash")) == [("one", "b"), ("two", "a")]


def test_pause_ends_at_its_time() -> None:
    """A pause ends at its time."""
    begin()
    skip_time(601)
    assert paused_accounts() == []


def test_later_pause_replaces_an_earlier_one() -> None:
    """A second pause of a key replaces the first one's end and reason, but not its beginning."""
    assert begin(seconds=10, reason="first")
    since = Pause.objects.get().since
    assert not begin(reason="second")
    skip_time(60)
    assert paused_accounts() == ["one"]
    assert (Pause.objects.get().reason, Pause.objects.get().since) == ("second", since)


def test_pause_that_is_over_begins_anew() -> None:
    """A pause after one that is over is a new one, with a new beginning."""
    begin()
    since = Pause.objects.get().since
    skip_time(601)
    assert begin()
    assert Pause.objects.get().since > since


def test_key_that_another_has_replaced_is_no_problem() -> None:
    """Once another key works, the old one still makes no calls, but it is no problem."""
    begin(key_hash="old")
    Pause.end_after_success(["one"], "new")
    assert paused_accounts() == ["one"]
    assert list(Pause.objects.told()) == []


@pytest.mark.parametrize(
    ("key_hash", "options", "is_kept"),
    [
        (NO_KEY, {}, False),
        (ANY_KEY, {}, True),
        (ANY_KEY, {"creates_only": True}, True),
        ("mine", {}, False),
    ],
)
def test_success_does_not_end_what_it_does_not_disprove(
    key_hash: str, options: dict, is_kept: bool
) -> None:
    """A key that works ends neither a refusal of documents nor a pause of the whole account."""
    begin(key_hash=key_hash, **options)
    Pause.end_after_success(["one"], "mine")
    assert Pause.objects.told().exists() == is_kept


def test_old_pauses_are_deleted() -> None:
    """The keys of rotations long past leave no rows."""
    begin(key_hash="old")
    skip_time(600 + 25 * 3600)
    begin(key_hash="new")
    assert Pause.objects.get().key_hash == "new"


def test_hash_reveals_nothing_and_tells_keys_apart() -> None:
    """The hash depends on the key and on SECRET_KEY, and contains neither."""
    assert hash_key("s3cr3t") == hash_key("s3cr3t") != hash_key("s3cr3u")
    assert len(hash_key("s3cr3t")) == 16
    assert "s3cr3t" not in hash_key("s3cr3t")
    before = hash_key("s3cr3t")
    with override_settings(SECRET_KEY="another" * 8):
        assert hash_key("s3cr3t") != before
