"""`manage.py docraptor_resume` ends pauses and circuits, and says what it did."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_docraptor import lifecycle
from django_docraptor.models import Account, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import CIRCUIT_THRESHOLD
from tests.support.jobs import enqueue, pause_account, paused_accounts

pytestmark = pytest.mark.django_db(transaction=True)


def resume(*arguments: str) -> str:
    """Run the command and return its output."""
    out = StringIO()
    call_command("docraptor_resume", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_named_account_is_resumed(sandbox: Sandbox) -> None:
    """Only the named account goes on, and its waiting jobs are counted."""
    enqueue(account="acme")
    pause_account("acme", "HTTP 401")
    pause_account("other", "HTTP 401")
    assert resume("acme") == "Account acme was resumed. 1 job is due now.\n"
    assert paused_accounts() == ["other"]
    assert lifecycle.submit() == 1


def test_all_restricted_accounts_are_resumed_by_default(sandbox: Sandbox) -> None:
    """Without a name, pauses and circuits of all accounts end."""
    pause_account("acme", "HTTP 401")
    until = seconds_from_now(300)
    Account.objects.create(name="flaky", failures=CIRCUIT_THRESHOLD, circuit_open_until=until)
    Account.objects.create(name="fine")
    assert [line.split()[1] for line in resume().splitlines()] == ["acme", "flaky"]
    assert Account.restricted_names() == []


def test_nothing_is_paused(sandbox: Sandbox) -> None:
    """Without a restricted account the command says so; a named one that runs is left alone."""
    assert resume() == "No account is paused. Nothing was changed.\n"
    enqueue()
    assert resume("default") == "Account default was not paused. 1 job is due now.\n"


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (["acme", "zeta"], "There is no account 'acmee'. Did you mean acme"),
        (["zeta"], "There is no account 'acmee'. Known accounts: zeta."),
        ([], "No account has had a job yet."),
    ],
)
def test_unknown_account_is_an_error(known: list[str], message: str) -> None:
    """A name without an account is an error with the nearest name, and nothing is resumed."""
    for name in known:
        pause_account(name, "HTTP 401")
    with pytest.raises(CommandError, match=message):
        resume(*known[:1], "acmee")
    assert paused_accounts() == known


def test_account_of_the_settings_is_known_without_a_job(settings: Any) -> None:
    """An account that has not had a job yet is no mistake; one that is misspelt is."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": {"acme": {}}}
    assert resume("acme") != ""
    with pytest.raises(CommandError, match="acme"):
        call_command("docraptor_resume", "acne")
