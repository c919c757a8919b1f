"""The parts of `make chaos` itself: its faults can be planned, and its audit can fail."""

import hashlib
import uuid
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from django_docraptor import states
from django_docraptor.lifecycle import leases
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import RemoteSandbox
from django_docraptor.states import ErrorCode, EventKind, State
from tests.chaos import SPEED, database_faults, fault_rates, injected, time_scale
from tests.chaos.accounts import LOCKED_ACCOUNT, LOCKED_JOBS, get_api_key
from tests.chaos.audit import Audit, Verdict, format_table
from tests.chaos.bill import parse_bill
from tests.chaos.fault_injection import LONG_FREEZE_SECONDS
from tests.support.documents import document_html, document_name
from tests.support.jobs import create_job
from tests.support.sandbox_client import SandboxClient

pytestmark = pytest.mark.once

URL = "http://127.0.0.1:9"


def test_all_faults_are_valid():
    """Every kind with a rate is planned, and an outage concerns every call."""
    rates = {kind: rate or 0.01 for kind, rate in fault_rates.default_rates().items()}
    planned = dict(fault_rates.sandbox_faults(rates, URL))
    assert set(planned) | {kind for kind in rates if kind.startswith(("storage", "database"))} == (
        set(rates)
    )
    outage = fault_rates.outage_faults()
    assert {fault.on for _, fault in outage} == {"create", "status", "download", "logs"}
    assert {fault.lasts for _, fault in outage} == {time_scale.OUTAGE_SECONDS}


def test_rates_can_be_changed_by_kind_and_by_part():
    """A rate of the database is changed like one of a call."""
    rates = fault_rates.parse_rates("database=0,storage.killed=0.5")
    assert {rate for kind, rate in rates.items() if kind.startswith("database.")} == {0}
    assert rates["storage.killed"] == 0.5
    with pytest.raises(fault_rates.FaultRateError, match=r"database\.no"):
        fault_rates.parse_rates("database.no=1")


def test_every_waiting_time_of_the_states_is_scaled():
    """A new constant that is not scaled would make a job seem stuck at the end of a run."""
    times = {name for name in vars(states) if name.endswith(("_SECONDS", "_INTERVAL", "_AGES"))}
    assert times == {*time_scale.STATE_CONSTANTS, "LEASE_SECONDS", "LOG_CHECK_AGES"}


def test_every_other_scaled_constant_exists():
    """A renamed constant would end every process of the site as it starts."""
    for path, name in (*time_scale.MODULE_CONSTANTS, *time_scale.CALL_CONSTANTS):
        assert hasattr(import_module(path), name), f"{path}.{name}"


def test_long_freeze_exceeds_a_lease_but_not_the_proof():
    """A worker that wakes up too late finds its lease ended, and nothing proved yet."""
    calls = time_scale.TIMEOUTS["connect"] + time_scale.TIMEOUTS["total"]
    lease = (leases.BEGIN_SECONDS + leases.MARGIN_SECONDS) / time_scale.CALL_SPEED + calls
    proof = (states.MAX_RENDER_SECONDS + states.LOG_MARGIN_SECONDS) / SPEED
    shortest, longest = LONG_FREEZE_SECONDS
    assert max(lease, states.LEASE_SECONDS[State.SUBMITTING] / SPEED) < shortest
    assert longest < proof


# --- the database's faults -----------------------------------------------------------------------


@pytest.fixture
def break_writes(settings, tmp_path):
    """A function that breaks all writes of one kind on this test's connection."""
    settings.SCRATCH = tmp_path
    commit = connection._commit

    def begin(kind):
        settings.DATABASE_FAILURE_RATES = {f"database.{kind}": 1}
        database_faults._break_connection(connection)

    yield begin
    connection.execute_wrappers.remove(database_faults._break_write)
    connection._commit = commit


@pytest.mark.django_db(transaction=True)
def test_refused_write_changes_nothing(sandbox, break_writes):
    """The statement is not sent; reads and other tables' writes work."""
    job = create_job(State.QUEUED)
    break_writes("refused")
    with pytest.raises(OperationalError):
        RenderJob.objects.update(name="changed")
    assert RenderJob.objects.get(pk=job.pk).name == job.name


@pytest.mark.django_db(transaction=True)
def test_commit_happens_although_its_answer_is_lost(sandbox, break_writes):
    """The client sees an error, and the database has the row's change."""
    job = create_job(State.QUEUED)
    break_writes("commit_answer_lost")
    with pytest.raises(OperationalError), transaction.atomic():
        RenderJob.objects.update(name="changed")
    assert RenderJob.objects.get(pk=job.pk).name == "changed"


@pytest.mark.django_db(transaction=True)
def test_faults_end_with_the_run(sandbox, break_writes, tmp_path):
    """The driver ends them by a file, which every process of the site sees."""
    create_job(State.QUEUED)
    break_writes("refused")
    (tmp_path / injected.NO_MORE_FAULTS).touch()
    RenderJob.objects.update(name="changed")


# --- the audit -----------------------------------------------------------------------------------


class FakeDatabase:
    """Reads what the audit reads, from the test's database."""

    def query(self, sql):
        """Return the rows of a statement."""
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


@pytest.fixture
def site(sandbox, tmp_path):
    """What the audit needs of a site: database, ledger and files."""
    (tmp_path / "documents").mkdir()
    return SimpleNamespace(
        database=FakeDatabase(), control=RemoteSandbox(sandbox.url), scratch=tmp_path
    )


@pytest.fixture
def completed(site, sandbox):
    """A run that went well: one document, and the jobs of the other account."""
    job = completed_job(site, sandbox)
    for _ in range(LOCKED_JOBS):
        create_job(State.PENDING, account=LOCKED_ACCOUNT)
    return job


def completed_job(site, sandbox, number=0):
    """Return a job whose document DocRaptor has made and the site has stored."""
    name = document_name(number)
    job = create_job(State.COMPLETED, name=name)
    content = accept(sandbox, job, name)
    (site.scratch / "documents" / name).write_bytes(content)
    RenderJob.objects.filter(pk=job.pk).update(
        file=name, file_size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    return job


def accept(sandbox, job, name, attempt=1, **options):
    """Let DocRaptor make the document of an attempt, and return it."""
    client = SandboxClient(sandbox.url)
    tag = f"{job.pk.hex}:{attempt}"
    options = {"name": name, "tag": tag, "document_content": document_html(name), **options}
    content = client.create("/docs", **options).content
    client.session.close()
    return content


def audit(site):
    """Return the verdict on a run in which the site has promised one document."""
    verdict = Audit(site, [document_name(0)]).run()
    assert "duplicates" in format_table(verdict, {}, {}, {})
    return verdict


@pytest.mark.django_db(transaction=True)
def test_run_without_a_problem_is_clean(site, sandbox, completed):
    """Probes are free test documents, and no duplicates."""
    accept(sandbox, SimpleNamespace(pk=uuid.UUID(int=0)), "probe", tag="probe:ab x", test=True)
    verdict = audit(site)
    assert verdict.is_clean, verdict.problems
    assert (verdict.completed, verdict.waiting, verdict.probes) == (1, LOCKED_JOBS, 1)
    assert get_api_key(LOCKED_ACCOUNT) != get_api_key("default")


def send_twice(site, sandbox, job):
    """Bill a second attempt that no event allows."""
    accept(sandbox, job, job.name, attempt=2)


def allow_the_wrong_attempt(site, sandbox, job):
    """Bill a second attempt after an event about another attempt."""
    job.events.create(
        kind=EventKind.NEVER_ACCEPTED, attempt=2, from_state="unconfirmed", to_state="pending"
    )
    accept(sandbox, job, job.name, attempt=2)


def bill_a_probe(site, sandbox, job):
    """Bill a document that belongs to no job."""
    accept(sandbox, job, "probe", tag="probe:ab x", test=False)


def leave_unfinished(site, sandbox, job):
    """Leave the job in a state that is not final."""
    RenderJob.objects.filter(pk=job.pk).update(
        state=State.WORKING, due_at=timezone.now(), finished_at=None
    )


def fail_without_reason(site, sandbox, job):
    """Fail the job with an error that no fault explains."""
    RenderJob.objects.filter(pk=job.pk).update(
        state=State.FAILED, error_code=ErrorCode.STORAGE_ERROR
    )


def fail_although_rendered(site, sandbox, job):
    """Fail the job as DocRaptor's failure, although DocRaptor has the document."""
    RenderJob.objects.filter(pk=job.pk).update(
        state=State.FAILED, error_code=ErrorCode.RENDER_FAILED
    )


def lose_the_row(site, sandbox, job):
    """Delete what the customer was promised."""
    job.events.all().delete()
    RenderJob.objects.filter(pk=job.pk).delete()


def damage_the_file(site, sandbox, job):
    """Cut the stored file."""
    path = site.scratch / "documents" / job.name
    path.write_bytes(path.read_bytes()[:-10])


def mix_up_the_files(site, sandbox, job):
    """Store another document's file, with its own length and hash."""
    other = completed_job(site, sandbox, 1)
    other.refresh_from_db()
    RenderJob.objects.filter(pk=job.pk).update(
        file=other.file.name, file_size=other.file_size, sha256=other.sha256
    )


def fail_the_locked_account(site, sandbox, job):
    """Fail a job that should wait for a valid key."""
    waiting = RenderJob.objects.filter(account=LOCKED_ACCOUNT).first()
    RenderJob.objects.filter(pk=waiting.pk).update(
        state=State.FAILED, due_at=None, finished_at=timezone.now()
    )


def forget_a_locked_job(site, sandbox, job):
    """Lose a job that should wait for a valid key."""
    waiting = RenderJob.objects.filter(account=LOCKED_ACCOUNT).first()
    lose_the_row(site, sandbox, waiting)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("spoil", "count"),
    [
        (send_twice, "duplicates"),
        (allow_the_wrong_attempt, "duplicates"),
        (bill_a_probe, "duplicates"),
        (leave_unfinished, "stuck"),
        (fail_without_reason, "lost"),
        (fail_although_rendered, "lost"),
        (lose_the_row, "lost"),
        (damage_the_file, "corrupt"),
        (mix_up_the_files, "corrupt"),
        (fail_the_locked_account, "lost"),
        (forget_a_locked_job, "lost"),
    ],
)
def test_run_with_a_problem_fails(site, sandbox, completed, spoil, count):
    """Each problem is counted, described, and fails the run."""
    spoil(site, sandbox, completed)
    verdict = audit(site)
    assert getattr(verdict, count) >= 1
    assert verdict.problems
    assert not verdict.is_clean


@pytest.mark.django_db(transaction=True)
def test_file_without_a_row_is_counted(site, sandbox, completed):
    """It costs space, but no customer misses it."""
    (site.scratch / "documents" / "orphan.pdf").write_bytes(b"%PDF-")
    verdict = audit(site)
    assert verdict.orphaned_files == 1
    assert verdict.is_clean


# --- the bill ------------------------------------------------------------------------------------

DIFFERENCE = "  2026-11-24 13:02:55 UTC  -1  0d6c:1: counted here as billed, but not listed"
FIGURE = "billed by DocRaptor 1,302 - accounted for by us 1,303 = -1"


def test_bill_is_read_from_the_command():
    """The figure is in the last line; each difference is a line."""
    bill = parse_bill(f"account default: a to b\n{DIFFERENCE}\n  1,302 billed\n{FIGURE}\n")
    assert bill.difference == -1
    assert bill.lines == (DIFFERENCE.strip(),)


@pytest.mark.parametrize("output", ["", "Traceback", f"  not complete: HTTP 503\n{FIGURE}"])
def test_bill_that_is_not_complete_is_no_figure(output):
    """An error is told, and does not count as 0."""
    bill = parse_bill(output, "the error")
    assert bill.difference is None
    assert "the error" in bill.lines


@pytest.mark.parametrize("difference", [1, -1, None])
def test_run_fails_if_the_bill_differs(difference):
    """A run is clean only if DocRaptor has billed what the site accounts for."""
    assert Verdict().is_clean
    assert not Verdict(bill_difference=difference).is_clean
