"""The admin: who may do what, what is confirmed, what is shown and what never is."""

from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from django_docraptor.admin import changelist, inputs, jobs
from django_docraptor.admin.display import NOTHING, badge, humane, time_taken, without_secrets
from django_docraptor.admin.sources import load_sources, source_link
from django_docraptor.models import Account, RenderEvent, RenderInput, RenderJob
from django_docraptor.states import FINAL_STATES, ErrorCode, EventKind, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue

pytestmark = pytest.mark.django_db

LIST = "/admin/django_docraptor/renderjob/"
HOSTILE = "<script>alert('hostile')</script>"
ESCAPED = "&lt;script&gt;alert(&#x27;hostile&#x27;)&lt;/script&gt;"
VIEW, RETRY, CANCEL = "view_renderjob", "retry_renderjob", "cancel_renderjob"


@pytest.fixture(autouse=True)
def _quiet(settings: Any) -> None:
    """No broker."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RING_ON_COMMIT": False}


def client_with(*permissions: str) -> Client:
    """A browser in which a member of staff with these permissions has logged in."""
    user = User.objects.create_user(f"staff-{'-'.join(permissions)}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client() -> Client:
    """A browser with all that there is to do about jobs."""
    return client_with(VIEW, RETRY, CANCEL)


def make_job(
    state: State = State.PENDING, order: dict[str, Any] | None = None, **columns: Any
) -> Any:
    """A job in a state, with columns as the engine would have left them."""
    job = enqueue(**{"test": False, **(order or {})})
    if state in FINAL_STATES:
        columns = {"due_at": None, "finished_at": Now(), **columns}
    RenderJob.objects.filter(pk=job.pk).update(state=state, **columns)
    job.refresh_from_db()
    return job


def failed(reason: ErrorCode = ErrorCode.RENDER_FAILED, **columns: Any) -> Any:
    """A failed production job."""
    columns = {"attempt": 1, "status_id": "status", **columns}
    return make_job(State.FAILED, error_code=reason, **columns)


def page(job: RenderJob, step: str = "change") -> str:
    """Address of a job's page, or of the confirmation of a step."""
    return f"{LIST}{job.pk}/{step}/"


def text_of(client: Client, url: str, data: dict[str, Any] | None = None) -> str:
    """What a page says."""
    response = client.get(url, data)
    assert response.status_code == 200
    return response.content.decode()


def confirm(client: Client, url: str, **data: Any) -> Any:
    """Press the button on a confirmation page."""
    asked = client.post(url, data)
    return client.post(url, {**data, "seen": asked.context["plan"].fingerprint}, follow=True)


def state_of(job: RenderJob) -> str:
    """The state in the database."""
    return RenderJob.objects.get(pk=job.pk).state


# Permissions


def test_without_view_permission_nothing_is_to_be_seen() -> None:
    """Retrying alone shows no job, and cannot be done either."""
    job = failed()
    blind = client_with(RETRY, CANCEL)
    assert blind.get(LIST).status_code == 403
    assert blind.get(page(job)).status_code == 403
    assert blind.get(page(job, "retry")).status_code == 403


@pytest.mark.parametrize(
    ("step", "state", "permission"),
    [("retry", State.FAILED, RETRY), ("cancel", State.QUEUED, CANCEL)],
)
class TestStepPermission:
    """Each step has a permission of its own."""

    def test_step_forbidden(self, step: str, state: State, permission: str) -> None:
        """Who has the other permission only sees no button and gets 403."""
        job = make_job(state)
        other = client_with(VIEW, *({RETRY, CANCEL} - {permission}))
        assert f'href="{page(job, step)}"' not in text_of(other, page(job))
        assert f"{step}_selected" not in text_of(other, LIST)
        assert other.get(page(job, step)).status_code == 403
        assert other.post(page(job, step), {"seen": "x"}).status_code == 403
        data = {"action": f"{step}_selected", "_selected_action": job.pk, "seen": "x"}
        other.post(LIST, data)
        assert state_of(job) == state

    def test_step_allowed(self, step: str, state: State, permission: str) -> None:
        """Who has it sees the button, and a GET of its address only asks."""
        job = make_job(state)
        allowed = client_with(VIEW, permission)
        assert f'href="{page(job, step)}"' in text_of(allowed, page(job))
        assert 'name="seen"' in text_of(allowed, page(job, step))
        assert state_of(job) == state

    def test_step_anonymous(self, step: str, state: State, permission: str) -> None:
        """Whoever is not logged in is sent to the login."""
        job = make_job(state)
        response = Client().post(page(job, step))
        assert response.status_code == 302
        assert "/login/" in response["Location"]
        assert state_of(job) == state

    def test_step_csrf(self, step: str, state: State, permission: str) -> None:
        """Another site's form does nothing."""
        job = make_job(state)
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(User.objects.create_superuser("root"))
        asked = strict.get(page(job, step))
        response = strict.post(page(job, step), {"seen": asked.context["plan"].fingerprint})
        assert response.status_code == 403
        assert state_of(job) == state


def test_nothing_to_edit() -> None:
    """Not even a superuser adds, changes or deletes a job or an account."""
    job = make_job(State.COMPLETED)
    account = Account.objects.create(name="default")
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    for address in (LIST, "/admin/django_docraptor/account/"):
        key = job.pk if address == LIST else account.pk
        assert root.get(f"{address}add/").status_code == 403
        assert root.post(f"{address}{key}/change/", {"name": "x"}).status_code == 403
        assert root.post(f"{address}{key}/delete/", {"post": "yes"}).status_code == 403
        assert "delete_selected" not in text_of(root, address)
    text = text_of(root, page(job))
    assert 'name="_save"' not in text
    assert "deletelink" not in text


def test_deleted_user_leaves_jobs() -> None:
    """Deleting an owner in the admin is not held up by jobs, which stay."""
    owner = User.objects.create_user("owner")
    job = make_job(order={"owner": owner})
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    root.post(f"/admin/auth/user/{owner.pk}/delete/", {"post": "yes"})
    assert RenderJob.objects.get(pk=job.pk).owner is None


# Retry


@pytest.mark.parametrize(
    ("make", "title", "text", "billed"),
    [
        (lambda: failed(ErrorCode.STATUS_UNAVAILABLE), "Not billed", "taken up there", 0),
        (
            lambda: failed(ErrorCode.STORAGE_ERROR, download_id="d"),
            "Not billed",
            "taken up there",
            0,
        ),
        (lambda: failed(test=True), "Free", "A test document", 0),
        (lambda: failed(ErrorCode.TIMED_OUT, test=True), "Free", "A test document", 0),
        (lambda: failed(), "Billed", "one more document is billed", 1),
        (
            lambda: failed(ErrorCode.TIMED_OUT),
            "Billed, perhaps twice",
            "may be on the bill already",
            1,
        ),
        (
            lambda: failed(ErrorCode.STATUS_UNAVAILABLE, status_id=""),
            "Billed, perhaps twice",
            "may be on the bill already",
            1,
        ),
    ],
)
def test_retry_says_what_it_costs(
    client: Client, make: Any, title: str, text: str, billed: int
) -> None:
    """The confirmation tells each case of the bill apart."""
    job = make()
    response = client.get(page(job, "retry"))
    (group,) = response.context["plan"].groups
    said = response.content.decode()
    assert group.outcome.title == title
    assert text in said
    assert response.context["plan"].billed == billed
    assert ("document is added to the bill" in said) == bool(billed)


def test_retry_confirmed(client: Client) -> None:
    """After the confirmation the job is pending, and its history says who did it."""
    job = failed()
    response = confirm(client, page(job, "retry"))
    assert response.redirect_chain == [(page(job), 302)]
    assert "Retried: 1." in response.content.decode()
    assert state_of(job) == State.PENDING
    event = job.events.get(kind=EventKind.RETRIED)
    assert event.message == f"by staff-{VIEW}-{RETRY}-{CANCEL}"


def test_retry_resumes(client: Client) -> None:
    """A document that DocRaptor still has is fetched again, as was confirmed."""
    job = failed(ErrorCode.DOWNLOAD_FAILED, download_id="d")
    confirm(client, page(job, "retry"))
    assert state_of(job) == State.DOWNLOADING


def test_post_without_confirmation_asks(client: Client) -> None:
    """A POST that carries no confirmation shows the question."""
    job = failed()
    response = client.post(page(job, "retry"))
    assert response.status_code == 200
    assert state_of(job) == State.FAILED


def test_confirmation_of_something_else_asks_again(client: Client) -> None:
    """If the bill has changed since the question, nothing is done and it is asked anew."""
    job = failed(ErrorCode.DOWNLOAD_FAILED, download_id="d")
    seen = client.get(page(job, "retry")).context["plan"].fingerprint
    RenderJob.objects.filter(pk=job.pk).update(error_code=ErrorCode.TIMED_OUT)
    response = client.post(page(job, "retry"), {"seen": seen})
    said = response.content.decode()
    assert "Something has changed" in said
    assert "Billed, perhaps twice" in said
    assert state_of(job) == State.FAILED


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED}))
def test_retry_of_what_has_not_failed(client: Client, state: State) -> None:
    """There is no button, and nothing to confirm."""
    job = make_job(state)
    assert page(job, "retry") not in text_of(client, page(job))
    response = client.post(page(job, "retry"), follow=True)
    assert "only failed jobs can be retried" in response.content.decode()
    assert state_of(job) == state


def test_unknown_job(client: Client) -> None:
    """A step for a job that is not there is not found."""
    missing = UUID(int=1)
    assert client.post(f"{LIST}{missing}/retry/").status_code == 404


# Cancel


@pytest.mark.parametrize(
    ("state", "columns", "title"),
    [
        (State.PENDING, {}, "Not billed"),
        (State.QUEUED, {"test": True}, "Free"),
        (State.SUBMITTING, {}, "May be billed"),
        (State.UNCONFIRMED, {}, "May be billed"),
        (State.QUEUED, {}, "May be billed"),
        (State.WORKING, {}, "May be billed"),
        (State.DOWNLOADING, {}, "Billed already"),
    ],
)
def test_cancel_says_what_it_costs(
    client: Client, state: State, columns: dict[str, Any], title: str
) -> None:
    """DocRaptor has no cancel: the confirmation says what may be on the bill."""
    job = make_job(state, **columns)
    response = client.get(page(job, "cancel"))
    (group,) = response.context["plan"].groups
    assert group.outcome.title == title
    assert str(group.outcome.text) in response.content.decode()


def test_cancel_confirmed(client: Client) -> None:
    """After the confirmation the job is cancelled."""
    job = make_job(State.WORKING)
    response = confirm(client, page(job, "cancel"))
    assert "Cancelled: 1." in response.content.decode()
    assert state_of(job) == State.CANCELLED


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_cancel_of_what_is_over(client: Client, state: State) -> None:
    """There is no button, and nothing to confirm."""
    job = make_job(state)
    assert page(job, "cancel") not in text_of(client, page(job))
    response = client.post(page(job, "cancel"), follow=True)
    assert "only unfinished jobs can be cancelled" in response.content.decode()
    assert state_of(job) == state


# Many at once


def test_bulk_retry_asks_first(client: Client) -> None:
    """The action shows every job under what becomes of it, and how much is billed in all."""
    first, second, free = failed(), failed(ErrorCode.TIMED_OUT), failed(test=True)
    done = make_job(State.COMPLETED)
    chosen = [job.pk for job in (first, second, free, done)]
    response = client.post(LIST, {"action": "retry_selected", "_selected_action": chosen})
    plan = response.context["plan"]
    groups = {group.outcome.code: group.jobs for group in plan.groups}
    assert groups == {"billed": [first], "billed_again": [second], "free": [free]}
    assert plan.left_alone == [done]
    assert "2 documents are added to the bill" in response.content.decode()
    assert state_of(first) == State.FAILED


def test_bulk_retry_confirmed(client: Client) -> None:
    """The page's own form retries what failed and leaves the rest."""
    bad, done = failed(), make_job(State.COMPLETED)
    chosen = {"action": "retry_selected", "_selected_action": [bad.pk, done.pk]}
    asked = client.post(LIST, chosen)
    form = {
        "action": asked.context["action"],
        "_selected_action": [job.pk for job in asked.context["plan"].jobs],
        "seen": asked.context["plan"].fingerprint,
    }
    response = client.post(LIST, form, follow=True)
    assert "Retried: 1." in response.content.decode()
    assert (state_of(bad), state_of(done)) == (State.PENDING, State.COMPLETED)


def test_bulk_cancel_confirmed(client: Client) -> None:
    """Cancelling many works the same way."""
    many = [make_job(State.QUEUED), make_job(State.PENDING)]
    chosen = [job.pk for job in many]
    response = confirm(client, LIST, action="cancel_selected", _selected_action=chosen)
    assert "Cancelled: 2." in response.content.decode()
    assert {state_of(job) for job in many} == {State.CANCELLED}


def test_bulk_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """More jobs than a person would read are not taken at once."""
    monkeypatch.setattr(jobs, "MOST_AT_ONCE", 1)
    many = [failed(), failed()]
    chosen = [job.pk for job in many]
    response = client.post(
        LIST, {"action": "retry_selected", "_selected_action": chosen}, follow=True
    )
    assert "At most 1 jobs at once" in response.content.decode()


# What is shown


def test_hostile_text_is_escaped(client: Client) -> None:
    """Names, errors, messages, options, content and sources are other people's text."""
    source = Group.objects.create(name=HOSTILE)
    order = {"name": HOSTILE, "content": HOSTILE, "source": source, "params": {"x": HOSTILE}}
    job = make_job(State.FAILED, order, errors=HOSTILE, message=HOSTILE, error_code=HOSTILE[:32])
    job.record_event(EventKind.STEP_FAILED, note=f"{HOSTILE}\n{HOSTILE}", detail={"body": HOSTILE})
    Account.pause("default", 60, HOSTILE)
    root = Client()
    root.force_login(User.objects.create_superuser(HOSTILE))
    for url in (LIST, page(job), page(job, "retry")):
        text = text_of(root, url)
        assert "<script>alert" not in text
        assert ESCAPED in text


def test_whole_error_is_shown(client: Client) -> None:
    """However long the errors are, their last line is there."""
    job = failed(errors="\n".join(f"line {number}" for number in range(5000)))
    text = text_of(client, page(job))
    assert "line 4999</pre>" in text
    assert "render_failed" in text


def test_secrets_are_not_shown(client: Client) -> None:
    """Neither the key, nor what leads to the file at DocRaptor, nor passwords in options."""
    options = {
        "prince_options": {
            "user_password": "hunter2",
            "http_password": "hunter3",
            "http_proxy": "http://hunter4",
            "baseurl": "https://hunter5:hunter6@shop.example/",
        },
        "vendor_token": "hunter7",
    }
    job = make_job(
        State.DOWNLOADING,
        {"options": options},
        lease_token="secret-lease",
        download_id="secret-download",
        reserved_name="secret-name",
    )
    for url in (LIST, page(job)):
        text = text_of(client, url)
        for secret in ("hunter", "secret-", "tests-key"):
            assert secret not in text
    assert "shop.example" in text_of(client, page(job))


def test_content_is_text_and_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored content is folded, escaped, and only its beginning."""
    monkeypatch.setattr(inputs, "CONTENT_SHOWN", 20)
    job = make_job(order={"content": "<b>beginning</b>" + "x" * 20 + "end"})
    text = text_of(client, page(job))
    assert "&lt;b&gt;beginning&lt;/b&gt;xxxx</pre>" in text
    assert "Only its beginning is shown." in text
    assert "<details open" not in text


def test_dropped_input(client: Client) -> None:
    """A job whose input was dropped still has its page."""
    job = make_job(State.COMPLETED)
    RenderInput.objects.all().delete()
    assert "Not kept." in text_of(client, page(job))


def test_input_is_for_readers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document's own rule hides its input from who may view jobs; what broke is told."""
    invoice = Invoice.objects.create(number="2025-canary")
    order = {"document": InvoicePDF.label, "content": "<p>canary</p>", "source": invoice}
    job = failed(order={**order, "params": {"x": "canary"}}, errors="what broke")
    assert "canary" in text_of(client, page(job))

    def only_ben(user: Any, job: RenderJob) -> bool:
        return job.source.number == user.username

    monkeypatch.setattr(InvoicePDF, "may_download", only_ben)
    text = text_of(client, page(job))
    assert "canary" not in text
    assert "Hidden: this document's rule does not let you read it." in text
    assert "Not kept." not in text
    assert "what broke" in text


def test_a_rule_that_fails_hides(client: Client, caplog: Any) -> None:
    """The page of a job whose source is gone is there all the same; the log has the story."""
    job = failed(order={"document": InvoicePDF.label, "content": "<p>canary</p>"})
    with patch.object(InvoicePDF, "may_download", lambda user, job: job.source.number == "1"):
        text = text_of(client, page(job))
    assert "canary" not in text
    assert "Hidden: this document's rule" in text
    assert "may_download() of its document failed" in caplog.text


def test_address_of_content(client: Client) -> None:
    """A document from an address shows the address, without the password in it."""
    job = make_job(order={"content": "", "url": "https://user:hunter2@shop.example/invoice"})
    text = text_of(client, page(job))
    assert "@shop.example/invoice" in text
    assert "hunter2" not in text


def test_history(client: Client) -> None:
    """Events stand in their order, with their states and foldable details."""
    job = make_job(State.WORKING, attempt=1)
    job.record_event(EventKind.ACCEPTED, source=State.SUBMITTING, detail={"status_id": "abc"})
    job.record_event(EventKind.STEP_FAILED, note="x" * 300)
    lines = client.get(page(job)).context["history"]
    assert [line.kind for line in lines] == ["enqueued", "accepted", "try failed"]
    assert "submitting" in lines[1].move
    assert "working" in lines[1].move
    assert '"status_id": "abc"' in lines[1].more
    assert len(lines[2].summary) < 150
    assert lines[2].more == "x" * 300


def test_history_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a very long history the last lines are shown."""
    monkeypatch.setattr(jobs, "LINES_SHOWN", 2)
    job = make_job()
    for kind in (EventKind.CALLBACK, EventKind.STEP_FAILED, EventKind.LATE_RESPONSE):
        job.record(kind)
    lines = client.get(page(job)).context["history"]
    assert [line.kind for line in lines] == ["try failed", "late answer"]


def test_unknown_state_in_history() -> None:
    """A state that a newer version wrote is shown as it is."""
    assert "archived" in badge("archived")


@pytest.mark.parametrize("state", list(State))
def test_badge_reads_without_colour(state: State) -> None:
    """A state has its word, and a sign that no other state has."""
    sign, _, word = strip_tags(badge(state)).partition(" ")
    assert word == str(state.label)
    assert [strip_tags(badge(other)).partition(" ")[0] for other in State].count(sign) == 1


def test_download_only_if_completed(client: Client) -> None:
    """The link to the file is there once the file is."""
    done, busy = make_job(State.COMPLETED), make_job(State.DOWNLOADING)
    text = text_of(client, LIST)
    for job, expected in ((done, True), (busy, False)):
        link = reverse("django_docraptor:download", args=[job.pk])
        assert (link in text) == expected
        assert (link in text_of(client, page(job))) == expected


def test_result(client: Client) -> None:
    """The page tells the result once there is one, even if the file could not be kept."""
    assert "SHA-256" not in text_of(client, page(failed()))
    job = failed(ErrorCode.STORAGE_ERROR, number_of_pages=3, file_size=2048)
    text = text_of(client, page(job))
    assert "2.0\xa0KB" in text
    assert reverse("django_docraptor:download", args=[job.pk]) not in text


def test_unfinished_page_refreshes(client: Client) -> None:
    """The page of an unfinished job looks again, less often with time, unless it is kept still."""
    job = make_job(State.WORKING)
    tag = '<meta http-equiv="refresh" content="{}">'
    assert tag.format(5) in text_of(client, page(job))
    assert 'http-equiv="refresh"' not in text_of(client, f"{page(job)}?still")
    RenderJob.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert tag.format(30) in text_of(client, page(job))
    assert 'http-equiv="refresh"' not in text_of(client, page(failed()))


def test_waiting_accounts_are_announced(client: Client) -> None:
    """The list says which account waits, until when and why; not once it is over."""
    Account.pause("acme", 600, "the key is not valid")
    Account.objects.create(
        name="flaky", circuit_open_until=timezone.now() + timedelta(60), pause_reason="503"
    )
    Account.objects.create(name="over", paused_until=timezone.now() - timedelta(60))
    text = text_of(client, LIST)
    assert "The account “acme” is paused until" in text
    assert "the key is not valid" in text
    assert "nothing new is sent for the account “flaky”" in text
    assert "over" not in {row.name for row in client.get(LIST).context["waiting_accounts"]}


def test_account_list() -> None:
    """Accounts are listed, to be read."""
    Account.pause("acme", 600, "the key is not valid")
    text = text_of(client_with("view_account"), "/admin/django_docraptor/account/")
    assert "the key is not valid" in text


# Sources


def test_source_link_for_those_who_may_view(client: Client) -> None:
    """A source is named and linked for those who may view it; others see its kind and key."""
    group = Group.objects.create(name="Wholesale")
    job = make_job(order={"source": group})
    url = f"/admin/auth/group/{group.pk}/change/"
    insider = client_with(VIEW, "view_group")
    for address in (LIST, page(job)):
        assert f'<a href="{url}">Wholesale</a>' in text_of(insider, address)
        assert "Wholesale" not in text_of(client, address)
        assert f"group {group.pk}" in text_of(client, address)


def test_source_not_in_the_admin() -> None:
    """A model without an admin page is no link, not even for a superuser."""
    invoice = Invoice.objects.create(number="2025-1")
    make_job(order={"source": invoice})
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    assert f"invoice {invoice.pk}" in text_of(root, LIST)


def test_source_without_address(rf: Any) -> None:
    """A source whose admin page has no address is named, not linked."""
    invoice = Invoice.objects.create(number="2025-1")
    job = make_job(order={"source": invoice})
    request = rf.get("/")
    request.user = User.objects.create_superuser("root")
    site = AdminSite()
    site.register(Invoice)
    load_sources(site, request, [job])
    assert source_link(site, job) == "2025-1"


class Cautious(ModelAdmin):
    """Shows a user some rows only, and of those not every one."""

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).exclude(number="hidden")

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return obj is None or obj.number != "refused"


def test_source_that_its_own_admin_hides(rf: Any) -> None:
    """A source is named only if its admin shows that row to the user, with as many queries."""
    numbers = ["2025-1", "hidden", "refused", "2025-2", "deleted"]
    invoices = [Invoice.objects.create(number=number) for number in numbers]
    jobs = [make_job(order={"source": invoice}) for invoice in invoices]
    gone = invoices[-1].pk
    invoices[-1].delete()
    jobs = [RenderJob.objects.select_related("content_type").get(pk=job.pk) for job in jobs]
    request, site = rf.get("/"), AdminSite()
    request.user = User.objects.create_superuser("root")
    site.register(Invoice, Cautious)
    with CaptureQueriesContext(connection) as queries:
        load_sources(site, request, jobs[:1] + jobs[2:4])
    assert len(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        load_sources(site, request, jobs)
        shown = [source_link(site, job) for job in jobs]
    assert len(queries) == 2
    assert shown == [
        "2025-1",
        f"invoice {invoices[1].pk}",
        f"invoice {invoices[2].pk}",
        "2025-2",
        f"invoice {gone} (deleted)",
    ]


def test_source_deleted() -> None:
    """A deleted source does not break the page."""
    group = Group.objects.create(name="Wholesale")
    job = make_job(order={"source": group})
    key = group.pk
    group.delete()
    insider = client_with(VIEW, "view_group")
    for address in (LIST, page(job)):
        assert f"group {key} (deleted)" in text_of(insider, address)


@pytest.mark.parametrize("kind", ["model is gone", "key has another type"])
def test_source_unreadable(client: Client, kind: str) -> None:
    """A source whose model was removed, or whose key changed its type, breaks nothing."""
    job = make_job()
    if kind == "model is gone":
        stale = ContentType.objects.create(app_label="old", model="thing")
    else:
        stale = ContentType.objects.get_for_model(Group)
    RenderJob.objects.update(content_type=stale, object_id="not-a-number")
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    for address in (LIST, page(job)):
        assert f"{stale.name} not-a-number" in text_of(root, address)


# Finding


@pytest.mark.parametrize(
    "term",
    [
        lambda job: str(job.pk),
        lambda job: job.pk.hex,
        lambda job: f" {job.pk} ",
        lambda job: job.status_id,
        lambda job: job.idempotency_key,
        lambda job: "invoice-77",
        lambda job: "INVOICE-77.PDF",
    ],
)
def test_search(client: Client, term: Any) -> None:
    """By id with or without dashes, by status id or key in full, by the start of the name."""
    order = {"name": "invoice-77.pdf", "idempotency_key": "order-77"}
    job = make_job(State.QUEUED, order, status_id="0f3c-status")
    make_job(State.QUEUED, {"name": "invoice-8.pdf"}, status_id="other")
    found = client.get(LIST, {"q": term(job)}).context["cl"].result_list
    assert [row.pk for row in found] == [job.pk]


@pytest.mark.parametrize("term", ["0f3c", "order", "voice", "77"])
def test_search_is_not_for_parts(client: Client, term: str) -> None:
    """Parts of keys, and what stands within a name, are not looked for: it would read all rows."""
    order = {"name": "invoice-77.pdf", "idempotency_key": "order-77"}
    make_job(State.QUEUED, order, status_id="0f3c-status")
    assert client.get(LIST, {"q": term}).context["cl"].result_list == []


def test_search_by_key_asks_no_names(client: Client) -> None:
    """What an index finds must not be mixed with what it does not."""
    job = make_job()
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST, {"q": str(job.pk)})
    assert not [sql for sql in queries if "LIKE" in sql["sql"].upper()]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"state__exact": "failed"}, ["c.pdf"]),
        ({"test__exact": "1"}, ["b.pdf"]),
        ({"document_type__exact": "xlsx"}, ["a.xlsx"]),
        ({"document": "shop.InvoicePDF"}, ["a.xlsx"]),
        ({"document": "-"}, ["c.pdf", "b.pdf"]),
    ],
)
def test_filters(client: Client, query: dict[str, str], names: list[str]) -> None:
    """The list can be narrowed, newest first."""
    make_job(order={"name": "a.xlsx", "document_type": "xlsx", "document": "shop.InvoicePDF"})
    make_job(order={"name": "b.pdf", "test": True})
    make_job(State.FAILED, {"name": "c.pdf"})
    for age, name in enumerate(("c.pdf", "b.pdf", "a.xlsx")):
        at = timezone.now() - timedelta(hours=age)
        RenderJob.objects.filter(name=name).update(created_at=at)
    found = client.get(LIST, query).context["cl"].result_list
    assert [row.name for row in found] == names


# Speed


def make_many(count: int) -> None:
    """Jobs with sources of two kinds, and owners."""
    for number in range(count):
        owner = User.objects.create_user(f"owner-{RenderJob.objects.count()}-{number}")
        group = Group.objects.create(name=owner.username)
        make_job(State.COMPLETED, {"source": group if number % 2 else owner, "owner": owner})


def test_list_has_a_constant_number_of_queries() -> None:
    """Fifty jobs with sources and owners cost as many queries as five."""
    insider = client_with(VIEW, RETRY, CANCEL, "view_group", "view_user")
    make_many(5)
    insider.get(LIST)
    with CaptureQueriesContext(connection) as few:
        insider.get(LIST)
    make_many(45)
    with CaptureQueriesContext(connection) as many:
        text = text_of(insider, LIST)
    assert text.count("owner-") >= 50
    assert len(many) == len(few) <= 12  # three of them ask whether the engine is alive


def test_list_reads_no_long_texts(client: Client) -> None:
    """The columns of unbounded size stay in the database."""
    failed(errors="long")
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST)
    assert not [sql for sql in queries if "errors" in sql["sql"] or '"content"' in sql["sql"]]


def test_page_has_a_constant_number_of_queries(client: Client) -> None:
    """A long history costs no more queries than a short one."""
    job = make_job(State.WORKING)
    client.get(page(job))
    with CaptureQueriesContext(connection) as few:
        client.get(page(job))
    RenderEvent.objects.bulk_create(
        RenderEvent(job=job, kind=EventKind.CALLBACK, to_state=job.state) for _ in range(50)
    )
    with CaptureQueriesContext(connection) as many:
        client.get(page(job))
    assert len(many) == len(few) <= 10


def test_confirmation_has_a_constant_number_of_queries(client: Client) -> None:
    """What a retry would cost is known from the rows that were read."""

    def ask(chosen: list[Any]) -> int:
        with CaptureQueriesContext(connection) as queries:
            client.post(LIST, {"action": "retry_selected", "_selected_action": chosen})
        return len(queries)

    many = [failed(ErrorCode.STORAGE_ERROR, download_id="d").pk for _ in range(20)]
    ask(many)
    assert ask(many) == ask(many[:2])


def test_list_counts_a_bounded_number(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million jobs only the first thousands are counted, and the list says so."""
    monkeypatch.setattr(changelist, "MOST_COUNTED", 2)
    for _ in range(3):
        make_job()
    response = client.get(LIST)
    assert response.context["cl"].result_count == 2
    assert "search or filter to find others" in response.content.decode()


# How values look


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7620, "2 h 07 min"),
        (180_000, "50 h 00 min"),
    ],
)
def test_humane(seconds: float, text: str) -> None:
    """Durations read as people say them."""
    assert humane(timedelta(seconds=seconds)) == text


def test_time_taken() -> None:
    """A duration needs an end: the finish, or the rendering while the file is fetched."""
    job = make_job(State.WORKING)
    assert time_taken(job) == NOTHING
    job.rendered_at = job.created_at + timedelta(seconds=3)
    assert time_taken(job) == NOTHING
    job.state = State.DOWNLOADING
    assert time_taken(job) == "3.0 s"
    job.finished_at = job.created_at + timedelta(seconds=5)
    assert time_taken(job) == "5.0 s"


def test_without_secrets_keeps_the_rest() -> None:
    """Only values that are secret are hidden, at any depth, and blanks stay blank."""
    given = {"a": [{"api_key": "k", "media": "print"}], "owner_password": None, "n": 1}
    shown = without_secrets(given)
    assert shown == {"a": [{"api_key": "••••••", "media": "print"}], "owner_password": None, "n": 1}
