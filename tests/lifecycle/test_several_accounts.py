"""Accounts with settings of their own: what counts for which, names with one key, rotation."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_docraptor import hosted, lifecycle, shortcuts
from django_docraptor.account_settings import ProviderError, hash_key
from django_docraptor.callback_urls import callback_base_url
from django_docraptor.conf import conf
from django_docraptor.exceptions import AccountBusyError, AccountPausedError, ConfigurationError
from django_docraptor.lifecycle.accounts import begin_pause, connect, pause_refused, resume
from django_docraptor.lifecycle.accounts import pause as pause_by_person
from django_docraptor.lifecycle.clients import open_client
from django_docraptor.lifecycle.composition import CompositionError, _errors_of_document
from django_docraptor.lifecycle.pacing import poll_interval
from django_docraptor.lifecycle.submission import claim_for_slots
from django_docraptor.models import (
    NO_KEY,
    Account,
    DiscardedDocument,
    KeyLock,
    Pause,
    RenderJob,
    SynchronousCall,
    seconds_from_now,
)
from django_docraptor.models.admission import count_in_flight_by_key
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.jobs import (
    current_state,
    downloadable_job,
    enqueue,
    paused_accounts,
    run_until_finished,
)
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

Configure = Callable[..., None]


@pytest.fixture
def configure(sandbox: Sandbox, documents_dir: Any, settings: Any) -> Configure:
    """Return a function that sets keys of ``DOCRAPTOR``."""

    def set_keys(**keys: Any) -> None:
        settings.DOCRAPTOR = settings.DOCRAPTOR | keys

    return set_keys


# --- an account's own settings ----------------------------------------------------------------


def test_job_has_the_mode_and_the_options_of_its_account(configure: Configure) -> None:
    """TEST_MODE and DEFAULTS are those of the account; one call may name several accounts."""
    acme = {"TEST_MODE": False, "DEFAULTS": {"javascript": True}}
    configure(ACCOUNTS={"acme": acme}, DEFAULTS={"strict": "html"})
    specs = [
        shortcuts.JobSpec(name="a.pdf", content="<p>a</p>", account=name)
        for name in ("acme", "default")
    ]
    jobs = shortcuts.enqueue_many(specs)
    assert [job.test for job in jobs] == [False, True]
    options = [RenderJob.objects.get(pk=job.pk).input.options for job in jobs]
    assert options == [{"javascript": True}, {"strict": "html"}]


def test_unknown_account_is_refused_where_it_is_said(configure: Configure) -> None:
    """Every function that takes an account names the nearest one, and sends and saves nothing."""
    configure(ACCOUNTS={"acme": {}})
    html: dict[str, Any] = {"name": "a.pdf", "content": "<p>a</p>", "account": "acne"}
    for call in (
        lambda: shortcuts.enqueue(**html),
        lambda: shortcuts.render_now(BytesIO(), **html),
        lambda: hosted.render_hosted_now(**html),
    ):
        with pytest.raises(ValidationError, match="Did you mean 'acme'") as caught:
            call()
        assert set(caught.value.message_dict) == {"account"}
    with pytest.raises(ConfigurationError, match="Did you mean 'acme'"):
        hosted.expire_hosted("id", account="acne")
    assert not RenderJob.objects.exists()


def test_each_account_is_sent_to_its_own_server(
    configure: Configure, sandbox: Sandbox, settings: Any
) -> None:
    """BASE_URL and API_KEY are the account's, for creates, polls and downloads."""
    with Sandbox(api_key="acme-key") as other:
        acme = {"BASE_URL": other.url, "API_KEY": "acme-key"}
        configure(ACCOUNTS={"acme": acme}, MAX_IN_FLIGHT=1)
        job = run_until_finished(enqueue(account="acme"))
        assert job.state == State.COMPLETED
        assert len(other.ledger.accepted()) == 1
    assert sandbox.calls == []


@pytest.mark.fault("S17")
def test_each_account_has_its_own_limit(configure: Configure) -> None:
    """MAX_IN_FLIGHT is the account's, for jobs and for synchronous calls."""
    configure(ACCOUNTS={"acme": {"API_KEY": "a", "MAX_IN_FLIGHT": 1}}, MAX_IN_FLIGHT=2)
    for name in ("acme", "default"):
        for _ in range(3):
            enqueue(account=name)
    assert [len(claim_for_slots(name, 9).jobs) for name in ("acme", "default")] == [1, 2]


def test_callbacks_of_an_account(configure: Configure) -> None:
    """CALLBACK_BASE_URL is the account's: it is called back there, and polled less often."""
    configure(ACCOUNTS={"acme": {"CALLBACK_BASE_URL": "https://acme.example"}})
    assert callback_base_url("acme") == "https://acme.example"
    assert callback_base_url("default") == ""
    assert poll_interval(0, "acme") > 5 > poll_interval(0, "default")


def test_unconfirmed_policy_is_the_accounts(configure: Configure) -> None:
    """UNCONFIRMED travels with the client, as it was when the key was read."""
    configure(ACCOUNTS={"acme": {"UNCONFIRMED": "fail"}})
    assert open_client("acme").settings.unconfirmed == "fail"
    assert open_client("default").settings.unconfirmed is None


class Tenants:
    """A provider of accounts, which may fail."""

    def __init__(self, **accounts: dict[str, Any]) -> None:
        self.accounts = accounts
        self.error: BaseException | None = None

    def names(self) -> list[str]:
        """Return the names."""
        return list(self.accounts)

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the settings of an account, or fail."""
        if self.error:
            raise self.error
        return self.accounts.get(name)


@pytest.mark.fault("S12")
def test_failing_provider_lets_jobs_wait(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a provider fails, jobs wait, which is told; afterwards they go on without a failure."""
    monkeypatch.setattr("django_docraptor.account_settings.PROVIDER_SECONDS", 0.0)
    tenants = Tenants(acme={})
    configure(ACCOUNTS=tenants)
    job = enqueue(account="acme")
    tenants.error = OSError("the key store is down")
    assert lifecycle.submit() == 0
    assert current_state(job) == State.PENDING
    (pause,) = Pause.objects.all()
    assert (pause.key_hash, "OSError" in pause.reason) == (NO_KEY, True)
    tenants.error = None
    job = run_until_finished(job)
    assert (job.state, job.failures) == (State.COMPLETED, 0)


def test_provider_that_fails_in_a_template_is_no_verdict(configure: Configure) -> None:
    """A document that asks for accounts while it is rendered is tried again later."""
    with pytest.raises(CompositionError) as caught, _errors_of_document():
        raise ProviderError("get('acme') raised OSError")
    assert caught.value.retryable


def test_job_of_a_removed_account_waits(configure: Configure) -> None:
    """A name that is no longer there is no verdict on the documents that were enqueued for it."""
    configure(ACCOUNTS={"acme": {}})
    job = enqueue(account="acme")
    configure(ACCOUNTS={"north": {}})
    assert lifecycle.submit() == 0
    assert current_state(job) == State.PENDING
    assert "There is no account 'acme'" in RenderJob.objects.get().errors


def test_idempotency_keys_are_per_account(configure: Configure) -> None:
    """Two accounts with one key at DocRaptor still have idempotency keys of their own."""
    configure(ACCOUNTS={"acme": {}})
    jobs = {enqueue(idempotency_key="a", account=name).pk for name in ("acme", "default", "acme")}
    assert len(jobs) == 2


def test_names_that_differ_by_little_are_other_accounts(configure: Configure) -> None:
    """Case, accents and a blank at the end count on every database, in each table with a name."""
    names = ["acme", "ACME", "äcme", "acme "]
    configure(ACCOUNTS={name: {"API_KEY": f"key {number}"} for number, name in enumerate(names)})
    for name in names:
        pause_by_person(name, None, "audit")
        enqueue(account=name)
        SynchronousCall.begin(name, seconds=60)
        DiscardedDocument.objects.create(account=name, download_id="d")
    assert paused_accounts() == sorted(names)
    resume("ACME")
    assert paused_accounts() == sorted(set(names) - {"ACME"})
    lifecycle.submit()
    assert RenderJob.objects.get(state=State.QUEUED).account == "ACME"
    for name in names:
        assert RenderJob.objects.count_in_flight(name) == (2 if name == "ACME" else 1)
        assert DiscardedDocument.objects.filter(account=name).count() == 1


# --- names with one key -----------------------------------------------------------------------


@pytest.mark.fault("S17")
def test_names_with_one_key_share_its_slots(configure: Configure) -> None:
    """The limit is of the key: what one name has in progress, the other one cannot."""
    configure(ACCOUNTS={"acme": {}, "beta": {}, "other": {"API_KEY": "o"}}, MAX_IN_FLIGHT=3)
    for name in ("acme", "beta", "other"):
        for _ in range(3):
            enqueue(account=name)
    claimed = [len(claim_for_slots(name, limit).jobs) for name, limit in (("acme", 2), ("beta", 9))]
    assert claimed == [2, 1]
    assert claim_for_slots("acme", 9).jobs == []
    assert len(claim_for_slots("other", 9).jobs) == 3
    assert count_in_flight_by_key(["beta", "other"]) == {"beta": 3, "other": 3}


@pytest.mark.fault("S17")
@pytest.mark.parametrize("known", [0, 1, 4])
def test_names_of_one_key_are_never_over_its_limit_together(
    configure: Configure, known: int
) -> None:
    """Workers that claim for different names of one key at once take turns.

    So do names that have never created with the key, from their first documents on.
    """
    names = ["delta", "gamma", "beta", "acme"]
    configure(ACCOUNTS={name: {} for name in names}, MAX_IN_FLIGHT=5)
    for name in names[:known]:
        Account.lock(name, hash_key("tests-key"))
    for name in names:
        for _ in range(4):
            enqueue(account=name)
    waiting = iter(names)
    claimed = run_in_threads(4, lambda: len(claim_for_slots(next(waiting), 4).jobs))
    assert sum(claimed) == 5
    keys = Account.objects.filter(key_hash=hash_key("tests-key")).values_list("name", flat=True)
    assert set(keys) == set(names)


@pytest.mark.fault("S17")
def test_names_of_one_key_take_one_lock(configure: Configure) -> None:
    """Whichever of the names is claimed for, a row of their key is locked, and no other."""
    configure(ACCOUNTS={"acme": {}, "beta": {}})
    for name in ("acme", "beta"):
        Account.lock(name, hash_key("tests-key"))
    Account.objects.update(locked_at=None)
    enqueue(account="beta")
    claim_for_slots("beta", 1)
    (lock,) = KeyLock.objects.all()
    assert (lock.key_hash, lock.locked_at is None) == (hash_key("tests-key"), False)
    assert not Account.objects.filter(locked_at__isnull=False).exists()


def test_synchronous_calls_share_the_slots_of_their_key(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A synchronous call of one name waits for the slots of the other names of its key."""
    configure(ACCOUNTS={"acme": {}, "beta": {}}, MAX_IN_FLIGHT=1)
    enqueue(account="acme")
    claim_for_slots("acme", 1)
    monkeypatch.setattr("django_docraptor.lifecycle.synchronous.MAX_WAIT_SECONDS", 0.0)
    with pytest.raises(AccountBusyError, match=r"'MAX_IN_FLIGHT'. is 1"):
        shortcuts.render_now(BytesIO(), name="a.pdf", content="<p>a</p>", account="beta")
    assert not SynchronousCall.objects.exists()


@pytest.mark.fault("S12")
def test_rejected_key_pauses_all_of_its_names(configure: Configure, sandbox: Sandbox) -> None:
    """A 401 is met once, not once for each name; resuming one resumes the others, too."""
    sandbox.change_settings(api_key="right")
    configure(ACCOUNTS={"acme": {}, "beta": {}, "other": {"API_KEY": "right"}}, API_KEY="wrong")
    for name in ("acme", "beta"):
        Account.lock(name, hash_key("wrong"))
    for name in ("acme", "beta"):
        enqueue(account=name)
        lifecycle.submit()
    assert len(sandbox.calls) == 1
    assert paused_accounts() == ["acme", "beta"]
    assert Account.objects.filter(refused_at__isnull=False).count() == 2
    with pytest.raises(AccountPausedError):
        hosted.render_hosted_now(name="a.pdf", content="<p>a</p>", account="beta")
    assert resume("beta").due == 2
    assert paused_accounts() == []


def test_people_are_told_once_of_a_key_that_many_names_have(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand tenants with the key of all are a line of the log, with the first names."""
    names = [f"tenant-{number:02}" for number in range(12)]
    configure(ACCOUNTS={name: {} for name in names})
    for name in names:
        Account.lock(name, hash_key("tests-key"))
    for _ in range(2):
        pause_refused("tenant-03", "Over document limit.")
    assert paused_accounts() == names
    (record,) = [each for each in caplog.records if "paused" in each.getMessage()]
    assert record.getMessage() == (
        f"Accounts {', '.join(names[:10])}, … are paused; their jobs wait: Over document limit."
    )


@pytest.mark.fault("S12")
def test_success_of_a_key_ends_the_pauses_of_its_names(configure: Configure) -> None:
    """When a key works again for one name, the others need not wait for their pauses."""
    configure(ACCOUNTS={"acme": {}, "beta": {}})
    for name in ("acme", "beta"):
        Account.lock(name, hash_key("tests-key"))
    begin_pause("beta", hash_key("tests-key"), 600, "rejected")
    begin_pause("acme", NO_KEY, 600, "no key")
    enqueue(account="acme")
    lifecycle.submit()
    assert paused_accounts() == []


def test_refusal_concerns_all_names_of_a_key(configure: Configure) -> None:
    """A reached limit is that of the account at DocRaptor, by whatever name it is known here."""
    configure(ACCOUNTS={"acme": {}, "beta": {}, "other": {"API_KEY": "o"}})
    for name, key in (("acme", "tests-key"), ("beta", "tests-key"), ("other", "o")):
        Account.lock(name, hash_key(key))
    pause_refused("acme", "Over document limit.")
    assert paused_accounts() == ["acme", "beta"]


def test_resuming_leaves_what_a_person_wants_for_another_name(configure: Configure) -> None:
    """A person pauses a name, not its key: resuming another name of the key does not end that."""
    configure(ACCOUNTS={"acme": {}, "beta": {}})
    for name in ("acme", "beta"):
        Account.lock(name, hash_key("tests-key"))
    pause_refused("acme", "Over document limit.")
    pause_by_person("beta", None, "wrong totals")
    resume("acme")
    assert [pause.is_by_person for pause in Pause.objects.active()] == [True]
    resume("beta")
    assert paused_accounts() == []


def test_callable_keys_are_shared_as_well(configure: Configure) -> None:
    """Without ACCOUNTS, two names whose callable returns one key share its limit."""
    configure(API_KEY=lambda name: "one", MAX_IN_FLIGHT=1)
    for name in ("acme", "beta"):
        enqueue(account=name)
    assert [len(claim_for_slots(name, 9).jobs) for name in ("acme", "beta")] == [1, 0]


def test_one_account_needs_no_query_for_its_key(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether names share a key is only asked where they may; the row remembers the key's hash."""
    monkeypatch.setattr("django_docraptor.models.querysets.FAIR_SHARE", 0.0)
    enqueue()
    claim_for_slots("default", 1)
    enqueue()
    with CaptureQueriesContext(connection) as single:
        claim_for_slots("default", 1)
    assert Account.objects.get().key_hash == hash_key(conf.api_key)
    configure(ACCOUNTS={"acme": {}})
    enqueue(account="acme")
    claim_for_slots("acme", 1)
    enqueue(account="acme")
    with CaptureQueriesContext(connection) as several:
        claim_for_slots("acme", 1)
    assert len(several) == len(single) + 1


# --- rotation ---------------------------------------------------------------------------------


@pytest.mark.fault("S32")
@pytest.mark.parametrize("state", ["queued", "downloading"])
def test_earlier_key_asks_for_what_it_has_created(
    configure: Configure, sandbox: Sandbox, state: str
) -> None:
    """After a rotation, status and file are asked for with the key that may; the new one creates.

    To the sandbox each key is an account, whose documents the others must not see.
    """
    configure(API_KEY="old")
    job = downloadable_job() if state == "downloading" else enqueue()
    lifecycle.submit()
    configure(API_KEY=["new", "old"])
    job = run_until_finished(job)
    assert (job.state, job.failures, paused_accounts()) == (State.COMPLETED, 0, [])
    enqueue()
    lifecycle.submit()
    assert open_client("default").client.list_doc_logs()[0].tag


@pytest.mark.fault("S32")
def test_new_key_that_is_wrong_does_not_stop_polls(configure: Configure, sandbox: Sandbox) -> None:
    """A rejected first key pauses new documents; those in progress are finished with the other."""
    sandbox.change_settings(api_key="old")
    configure(API_KEY="old")
    running = enqueue()
    lifecycle.submit()
    configure(API_KEY=["mistyped", "old"])
    waiting = enqueue()
    lifecycle.submit()
    assert paused_accounts() == ["default"]
    RenderJob.objects.filter(pk=running.pk).update(due_at=seconds_from_now(-1))
    assert lifecycle.poll().claimed == 1
    assert paused_accounts() == ["default"]
    running = run_until_finished(running)
    assert running.state == State.COMPLETED
    assert current_state(waiting) == State.PENDING


def test_log_is_read_with_a_key_that_works(configure: Configure, sandbox: Sandbox) -> None:
    """A rejected first key does not keep the account's log from being read."""
    sandbox.change_settings(api_key="old")
    configure(API_KEY=["mistyped", "old"])
    keyed = connect("default")
    assert keyed is not None
    assert list(keyed.ask("list_doc_logs", lambda client: client.list_doc_logs())) == []


def test_first_keys_error_counts_if_no_key_may_ask(configure: Configure, sandbox: Sandbox) -> None:
    """If all keys are refused, the error is that of the first one, which pauses it."""
    sandbox.change_settings(api_key="right")
    configure(API_KEY=["one", "two"])
    keyed = open_client("default")
    with pytest.raises(Exception, match="401") as caught:
        keyed.ask("get_status", lambda client: client.get_status("x"))
    assert getattr(caught.value, "key_hash", "") == hash_key("one")
    assert keyed.key_hashes == {hash_key("one"), hash_key("two")}


def test_old_hosted_document_is_expired_with_its_key(configure: Configure) -> None:
    """What an earlier key has published is expired with it."""
    configure(API_KEY="old")
    document = hosted.render_hosted_now(name="a.pdf", content="<p>a</p>")
    configure(API_KEY=["new", "old"])
    hosted.expire_hosted(document.download_id)
