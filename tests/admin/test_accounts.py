"""Accounts in the admin: their list, and the warning above the jobs."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from django_docraptor.models import Account, Pause
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.admin_jobs import LIST, get_text, staff_client
from tests.support.jobs import create_job, enqueue, pause_account, paused_accounts

pytestmark = pytest.mark.django_db


def test_list_warns_of_restricted_accounts(client: Client) -> None:
    """The list of jobs names each restricted account with its end and its reason."""
    pause_account("acme", "the key is not valid")
    Account.objects.create(
        name="flaky", circuit_open_until=timezone.now() + timedelta(60), pause_reason="503"
    )
    pause_account("over", "it was", seconds=-60)
    text = get_text(client, LIST)
    assert "Account “acme” is paused until" in text
    assert "the key is not valid" in text
    assert "no new documents are submitted for account “flaky”" in text
    assert "over" not in {each.account for each in client.get(LIST).context["restrictions"]}


def test_accounts_are_listed() -> None:
    """Users who may view accounts see them with their reasons."""
    pause_account("acme", "the key is not valid")
    Account.objects.create(name="free")
    text = get_text(staff_client("view_account"), "/admin/django_docraptor/account/")
    assert "the key is not valid" in text
    assert text.count("</span> paused</span>") == 1
    assert "icon-yes" not in text  # Django's green tick would say that all is well


ACCOUNTS = "/admin/django_docraptor/account/"


def press_resume(client: Client, *names: str) -> Any:
    """Run the action "Resume now" on accounts."""
    data = {"action": "resume_selected", ACTION_CHECKBOX_NAME: names}
    return client.post(ACCOUNTS, data, follow=True)


@pytest.mark.django_db(transaction=True)
def test_account_can_be_resumed(sandbox: Sandbox) -> None:
    """The action ends the pauses of the selected accounts and tells how many jobs are due."""
    enqueue(account="acme")
    for name in ("acme", "other"):
        pause_account(name, "HTTP 401")
    client = staff_client("view_account", "resume_account")
    text = press_resume(client, "acme").content.decode()
    assert "Resumed: 1 job is due now." in text
    assert paused_accounts() == ["other"]


@pytest.mark.django_db(transaction=True)
def test_resuming_wakes_the_engine(
    sandbox: Sandbox, published_tasks: list[str], settings: Any
) -> None:
    """The waiting jobs go on without the next tick."""
    enqueue()
    pause_account("default", "HTTP 401")
    published_tasks.clear()
    press_resume(staff_client("view_account", "resume_account"), "default")
    assert published_tasks == ["django_docraptor.dispatch"]


@pytest.mark.parametrize("permissions", [["view_account"], ["resume_account"]])
def test_resuming_needs_the_permission(permissions: list[str]) -> None:
    """Neither who may only see accounts nor who may not see them can end a pause."""
    pause_account("acme", "HTTP 401")
    press_resume(staff_client(*permissions), "acme")
    assert paused_accounts() == ["acme"]


def test_resuming_needs_a_post() -> None:
    """A link cannot end a pause."""
    pause_account("acme", "HTTP 401")
    client = staff_client("view_account", "resume_account")
    client.get(ACCOUNTS, {"action": "resume_selected", ACTION_CHECKBOX_NAME: "acme"})
    assert paused_accounts() == ["acme"]


def test_page_of_an_account_tells_why_its_jobs_wait() -> None:
    """The page names each pause with its reason; an account that runs has none."""
    pause_account("acme", "the key is not valid")
    Account.objects.create(name="fine")
    client = staff_client("view_account")
    assert "the key is not valid" in get_text(client, f"{ACCOUNTS}acme/change/")
    assert "is paused" not in get_text(client, f"{ACCOUNTS}fine/change/")


@pytest.mark.parametrize("permission", ["resume_account", "pause_account"])
def test_page_of_an_account_has_its_actions(permission: str) -> None:
    """Its buttons do what the list's actions do, for those who may; a name may have any sign."""
    name = "a/b “ü” & c"
    pause_account(name, "the key is not valid")
    page = f"{ACCOUNTS}{quote(name)}/change/"
    seen = staff_client("view_account").get(page).content.decode()
    assert "docraptor-tool" not in seen
    user = User.objects.get()
    user.user_permissions.add(Permission.objects.get(codename=permission))
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    text = client.get(page).content.decode()
    (form,) = re.findall('<form method="post" action=.*?</form>', text, re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    fields = {key: unescape(value) for key, value in fields.items()}
    (url,) = re.findall(r'action="([^"]+)"', form)
    done = client.post(url, fields, follow=True).content.decode()
    if permission == "resume_account":
        assert "Resumed: 0 jobs are due now." in done
        assert paused_accounts() == []
    else:
        assert "Pause accounts" in done
        assert escape(name) in done


# --- Pause -----------------------------------------------------------------------------------


def press_pause(client: Client, *names: str, **values: str) -> Any:
    """Run the action "Pause…" on accounts; with values, send its form, too."""
    data = {"action": "pause_selected", ACTION_CHECKBOX_NAME: names, **values}
    return client.post(ACCOUNTS, data, follow=True)


def test_account_can_be_paused() -> None:
    """The action asks why and for how long. The list of jobs, and History, tell who and why."""
    Account.objects.create(name="acme")
    client = staff_client("view_account", "view_renderjob", "pause_account", "resume_account")
    asked = press_pause(client, "acme").content.decode()
    assert "acme" in asked
    assert paused_accounts() == []
    done = press_pause(client, "acme", confirmed="1", reason="wrong totals", minutes="240")
    assert "1 account was paused." in done.content.decode()
    shown = get_text(client, LIST)
    assert "Account “acme” is paused until" in shown
    assert "wrong totals (by staff-view_account" in shown
    entries = LogEntry.objects.filter(content_type__model="account")
    assert [str(entry) for entry in entries] == ["Changed “acme” — Paused: wrong totals"]
    press_resume(client, "acme")
    assert paused_accounts() == []
    assert entries.all().count() == 2


def test_account_can_be_paused_until_it_is_resumed() -> None:
    """Without a duration the pause has no end."""
    Account.objects.create(name="acme")
    client = staff_client("view_account", "view_renderjob", "pause_account")
    values = {"confirmed": "1", "reason": "wrong totals", "creates_only": "on"}
    press_pause(client, "acme", **values)
    assert "Account “acme” is paused until it is resumed" in get_text(client, LIST)
    assert Pause.objects.get().creates_only


@pytest.mark.parametrize("values", [{"reason": ""}, {"reason": "x", "minutes": "7"}])
def test_invalid_form_pauses_nothing(values: dict[str, str]) -> None:
    """Without a reason, or with a duration that is not offered, the form is shown again."""
    Account.objects.create(name="acme")
    client = staff_client("view_account", "pause_account")
    shown = press_pause(client, "acme", confirmed="1", **values).content.decode()
    assert "errorlist" in shown
    assert paused_accounts() == []


@pytest.mark.parametrize("permissions", [["view_account", "resume_account"], ["pause_account"]])
def test_pausing_needs_the_permission(permissions: list[str]) -> None:
    """Neither who may only resume accounts nor who may not see them can pause one."""
    Account.objects.create(name="acme")
    press_pause(staff_client(*permissions), "acme", confirmed="1", reason="wrong totals")
    assert paused_accounts() == []


def test_accounts_show_what_is_in_flight(settings: Any, django_assert_max_num_queries: Any) -> None:
    """The list counts for each account by its own limit, and for all names of its key."""
    own = {"acme": {"MAX_IN_FLIGHT": 5}, "beta": {}}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": own, "MAX_IN_FLIGHT": 7}
    for name in ("acme", "beta", *(f"other-{number}" for number in range(20))):
        key = "0123456789abcdef" if name in ("acme", "beta") else ""
        Account.objects.create(name=name, key_hash=key)
    create_job(State.QUEUED, account="acme")
    client = staff_client("view_account")
    with django_assert_max_num_queries(14):
        text = get_text(client, ACCOUNTS)
    assert "1 / 5" in text
    assert "1 / 7" in text


def test_account_page_shows_the_end_of_the_keys_hash(settings: Any) -> None:
    """The page tells keys apart, and shows when DocRaptor last refused one; never the key."""
    Account.objects.create(name="acme", key_hash="0123456789abcdef", refused_at=timezone.now())
    text = get_text(staff_client("view_account"), f"{ACCOUNTS}acme/change/")
    assert "…cdef" in text
    assert "abcdef" not in text
    assert "API key last refused" in text
    assert "0 / 30" in text
