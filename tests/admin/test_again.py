"""Generate a finished document again from its job's page."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import (
    CANCEL,
    RETRY,
    VIEW,
    create_admin_job,
    get_text,
    job_url,
    staff_client,
)

pytestmark = pytest.mark.django_db
ADD = "add_renderjob"


@pytest.fixture
def sam() -> Client:
    """The browser of a user who may generate documents again."""
    return staff_client(VIEW, RETRY, ADD)


def form_of(client: Client, job: RenderJob, **values: str) -> dict[str, str]:
    """Return the form of the confirmation page, as a browser sends it."""
    context = client.get(job_url(job, "again")).context
    content = next(iter(context["question"].choices), "")
    fields = {"_form_token": context["form_token"], "_terms": context["terms"], "content": content}
    return fields | values


def generate(client: Client, job: RenderJob, **values: str) -> RenderJob:
    """Confirm, and return the new job."""
    response = client.post(job_url(job, "again"), form_of(client, job, **values), follow=True)
    assert response.status_code == 200
    new: RenderJob = RenderJob.objects.exclude(pk=job.pk).get()
    return new


def test_finished_document_is_generated_again(sam: Client, invoice: Invoice) -> None:
    """The new job asks for the same; the old one stays as it is."""
    owner = User.objects.create_user("ines")
    options = {
        "document": InvoicePDF.label,
        "source": invoice,
        "content": "<p>stored</p>",
        "owner": owner,
        "options": {"javascript": True},
        "params": {"copy": 2},
        "priority": 3,
        "account": "other",
        "language": "de",
        "time_zone": "Europe/Vienna",
        "idempotency_key": "invoice-1",
        "name": "invoice.pdf",
    }
    job = create_admin_job(State.COMPLETED, options)
    new = generate(sam, job, content="stored")
    same = ("document", "name", "owner_id", "object_id", "test", "priority", "account", "storage")
    assert [getattr(new, name) for name in same] == [getattr(job, name) for name in same]
    assert new.state == State.PENDING
    assert new.idempotency_key != job.idempotency_key
    old_input, new_input = (RenderInput.objects.get(pk=each.pk) for each in (job, new))
    same = ("content", "options", "params", "language", "time_zone")
    assert [getattr(new_input, name) for name in same] == [
        getattr(old_input, name) for name in same
    ]
    assert RenderJob.objects.get(pk=job.pk).state == State.COMPLETED


def test_current_data_can_be_chosen(sam: Client, invoice: Invoice) -> None:
    """A worker renders the document then; the page shows what has changed."""
    options = {"document": InvoicePDF.label, "source": invoice, "content": "<p>stored</p>"}
    job = create_admin_job(State.COMPLETED, options)
    text = get_text(sam, job_url(job, "again"))
    assert "What has changed: 1 line" in text
    new = generate(sam, job, content="current")
    assert RenderInput.objects.get(pk=new.pk).content == ""


def test_second_click_generates_nothing(sam: Client) -> None:
    """The same form of the same user gives the same job."""
    job = create_admin_job(State.COMPLETED)
    form = form_of(sam, job)
    urls = {sam.post(job_url(job, "again"), form)["Location"] for _ in range(2)}
    assert len(urls) == 1
    assert RenderJob.objects.count() == 2
    other = staff_client(VIEW, RETRY, ADD, CANCEL)
    assert other.post(job_url(job, "again"), form)["Location"] not in urls


def test_get_generates_nothing(sam: Client) -> None:
    """The page asks what will be billed."""
    job = create_admin_job(State.COMPLETED)
    text = get_text(sam, job_url(job, "again"))
    assert "Confirming will bill 1 document." in text
    assert "It has its document already." in text
    free = create_admin_job(State.COMPLETED, {"test": True})
    assert "free of charge" in get_text(sam, job_url(free, "again"))
    assert RenderJob.objects.count() == 2


@pytest.mark.parametrize("field", ["_form_token", "_terms", "content"])
@pytest.mark.parametrize("value", ["", "x" * 100])
def test_incomplete_form_is_shown_again(sam: Client, field: str, value: str) -> None:
    """Nothing is queued without the token, the terms and a choice."""
    job = create_admin_job(State.COMPLETED)
    response = sam.post(job_url(job, "again"), form_of(sam, job) | {field: value})
    assert response.status_code == 200
    assert "Nothing was queued" in response.content.decode()
    assert RenderJob.objects.count() == 1


@pytest.mark.parametrize("permissions", [(VIEW, RETRY), (VIEW, ADD), (RETRY, ADD)])
def test_permissions_are_needed(permissions: tuple[str, ...]) -> None:
    """To view jobs, to retry them and to create one."""
    job = create_admin_job(State.COMPLETED)
    other = staff_client(*permissions)
    assert other.get(job_url(job, "again")).status_code == 403
    assert other.post(job_url(job, "again"), {"content": "stored"}).status_code == 403
    assert job_url(job, "again") not in other.get(job_url(job)).content.decode()
    assert Client().get(job_url(job, "again")).status_code == 302
    assert RenderJob.objects.count() == 1


def test_form_needs_a_csrf_token(sam: Client) -> None:
    """A form of another site does nothing."""
    job = create_admin_job(State.COMPLETED)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("root"))
    form = form_of(strict, job)
    assert strict.post(job_url(job, "again"), form).status_code == 403
    assert RenderJob.objects.count() == 1


def test_unfinished_job_is_refused(sam: Client) -> None:
    """Its document is still being generated."""
    job = create_admin_job(State.QUEUED)
    assert job_url(job, "again") not in get_text(sam, job_url(job))
    response = sam.get(job_url(job, "again"), follow=True)
    assert "This job is unfinished" in response.content.decode()


def test_unknown_job_is_404(sam: Client) -> None:
    """There is no such job."""
    job = create_admin_job(State.COMPLETED)
    url = job_url(job, "again")
    job.delete()
    assert sam.get(url).status_code == 404


def test_job_without_input_cannot_be_repeated(sam: Client) -> None:
    """The page says why."""
    job = create_admin_job(State.COMPLETED)
    form = form_of(sam, job)
    RenderInput.objects.all().delete()
    assert "The input is no longer stored." in get_text(sam, job_url(job, "again"))
    assert (
        "The input is no longer stored." in sam.post(job_url(job, "again"), form).content.decode()
    )


def test_deleted_source_is_told(sam: Client, invoice: Invoice) -> None:
    """Nothing is queued that is certain to fail."""
    options = {"document": InvoicePDF.label, "source": invoice, "content": ""}
    job = create_admin_job(State.COMPLETED, options)
    form = form_of(sam, job)
    invoice.delete()
    response = sam.post(job_url(job, "again"), form, follow=True)
    assert "The object of this document no longer exists." in response.content.decode()
    assert RenderJob.objects.count() == 1


def test_hosted_document_gets_its_lifetime_again(sam: Client) -> None:
    """It expires as long after the new request as after the old one, and the page warns."""
    options = {
        "hosted": True,
        "hosted_expires_at": timezone.now() + timedelta(hours=2),
        "hosted_download_limit": 5,
    }
    job = create_admin_job(State.COMPLETED, options)
    RenderJob.objects.update(
        created_at=timezone.now() - timedelta(days=9),
        hosted_expires_at=timezone.now() - timedelta(days=9) + timedelta(hours=2),
    )
    assert "Public: anyone with the link" in get_text(sam, job_url(job, "again"))
    new = generate(sam, job)
    left = new.hosted_expires_at - timezone.now()
    assert timedelta(minutes=115) < left < timedelta(minutes=125)
    assert RenderInput.objects.get(pk=new.pk).options["hosted_download_limit"] == 5


def test_both_jobs_have_an_entry_in_the_log(sam: Client) -> None:
    """Django's own log says who generated what again."""
    job = create_admin_job(State.FAILED)
    new = generate(sam, job)
    entries = {entry.object_id: entry for entry in LogEntry.objects.all()}
    assert entries[str(job.pk)].get_change_message() == f"Generated again as job {new.pk}."
    assert entries[str(new.pk)].get_change_message() == f"Generated again from job {job.pk}."
