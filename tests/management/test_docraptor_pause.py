"""`manage.py docraptor_pause` pauses an account, and says until when."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from django_docraptor.models import Account, Pause
from tests.support.jobs import paused_accounts

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _account() -> None:
    Account.objects.create(name="acme")


def pause(*arguments: str) -> str:
    """Run the command and return its output."""
    out = StringIO()
    call_command("docraptor_pause", *arguments, stdout=out, no_color=True)
    return out.getvalue()


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ([], "until docraptor_resume"),
        (["--for", "2h"], "for 2 hours"),
        (["--for", "90m"], "for 90 minutes"),
        (["--for", "90s"], "for 90 seconds"),
    ],
)
def test_account_is_paused(options: list[str], end: str) -> None:
    """It prints until when; a second call replaces the first one's end and reason."""
    assert pause("acme", *options) == f"Account acme was paused {end}.\n"
    again = pause("acme", "--for", "3d", "--reason", "wrong totals", "--creates-only")
    assert again == "Account acme was paused already; it is now paused for 3 days.\n"
    row = Pause.objects.get()
    assert (row.reason, row.creates_only) == ("wrong totals", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["acmee"], "no account 'acmee'. Did you mean acme"),
        (["acme", "--for", "2"], "'2' is not a duration, such as 90m, 2h or 3d"),
        (["acme", "--for", "0m"], "not longer than 0"),
        (["acme", "--reason", "x" * 501], "Shorten it to 500"),
    ],
)
def test_mistake_is_told(arguments: list[str], message: str) -> None:
    """An unknown account and an invalid value are errors with the remedy; nothing is paused."""
    with pytest.raises(CommandError, match=message):
        pause(*arguments)
    assert paused_accounts() == []
