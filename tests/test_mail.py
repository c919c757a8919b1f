"""Documents in e-mails: attached, linked, and announced to their owner."""

from email import message_from_bytes, policy
from typing import Any

import django
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core import mail as outbox
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.core.mail import EmailMessage
from django.utils import translation

from django_docraptor import lifecycle, signals
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.mail import (
    AttachmentError,
    attach,
    build_message,
    document_url,
    notify_owner,
)
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import cancel, retry
from django_docraptor.states import EventKind, State
from tests.apps.shop.documents import InvoicePDF
from tests.support.jobs import enqueue, read_file, run_until_finished, skip_time

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site_url(settings: Any) -> None:
    """A site with a URL and two languages."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://shop.example"}
    settings.LANGUAGES = [("en", "English"), ("de", "German")]
    cache.clear()


@pytest.fixture
def owner() -> AbstractBaseUser:
    """The owner, who has an e-mail address."""
    return get_user_model().objects.create_user("owner", "owner@example.com")


@pytest.fixture
def job(owner: AbstractBaseUser, sandbox: Sandbox, documents_dir) -> RenderJob:
    """A completed job of the owner."""
    return run_until_finished(enqueue(owner=owner))


@pytest.fixture
def notify_owner_connected() -> Any:
    """A project that connects notify_owner to both signals."""
    for signal in (signals.document_completed, signals.document_failed):
        signal.connect(notify_owner)
    yield
    for signal in (signals.document_completed, signals.document_failed):
        signal.disconnect(notify_owner)


# --- attach ----------------------------------------------------------------------------------


def test_attach_adds_the_document(job: RenderJob) -> None:
    """The document is attached under its name and content type."""
    message = EmailMessage("Your invoice", to=["customer@example.com"])
    attach(message, job)
    message.send()
    (sent,) = outbox.outbox
    assert tuple(sent.attachments[0]) == ("hello.pdf", read_file(job), "application/pdf")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\n\nSGVsbG8gZXZpbA==\n.pdf", "a SGVsbG8gZXZpbA== .pdf"),
        ("a\nBcc: x\n\n.pdf", "a Bcc- x .pdf"),
        ("FV 17/11/2026.pdf", "FV 17-11-2026.pdf"),
        ("a\r\nb\x00\x7f\x85\u2028c\u202efdp", "a b cfdp.pdf"),
        ("Rechnung \u00e4\u00f6\n\n\u20ac.pdf", "Rechnung \u00e4\u00f6 \u20ac.pdf"),
    ],
)
def test_attach_sanitizes_the_name(job: RenderJob, name: str, shown: str) -> None:
    """A name with line breaks stays within the attachment's header."""
    message = EmailMessage("Your invoice", "Here it is.", to=["customer@example.com"])
    job.name = name
    attach(message, job)
    read_back = message_from_bytes(message.message().as_bytes(), policy=policy.default)
    (attachment,) = read_back.iter_attachments()
    assert attachment.get_filename() == shown
    assert attachment.get_content() == read_file(job)
    assert attachment.get_content_type() == "application/pdf"
    assert set(attachment.keys()) <= {
        *("Content-Type", "MIME-Version", "Content-Transfer-Encoding", "Content-Disposition")
    }
    assert read_back["Bcc"] is None


@pytest.mark.parametrize("state", sorted(set(State) - {State.COMPLETED}))
def test_attach_refuses_an_unfinished_job(job: RenderJob, state: State) -> None:
    """A job that is not completed has no document to attach."""
    message = EmailMessage()
    job.state = state
    with pytest.raises(AttachmentError, match=f"is {state.value}; only a completed job"):
        attach(message, job)
    assert message.attachments == []


def test_attach_refuses_a_large_document(job: RenderJob) -> None:
    """A document over `max_bytes` is refused, and the error names document_url()."""
    size = len(read_file(job))
    message = EmailMessage()
    with pytest.raises(AttachmentError, match="document_url"):
        attach(message, job, max_bytes=size - 1)
    assert message.attachments == []
    attach(message, job, max_bytes=size)
    assert len(message.attachments) == 1


def test_attach_refuses_a_hosted_document(sandbox: Sandbox) -> None:
    """A hosted document is linked, not attached."""
    job = run_until_finished(enqueue(hosted=True))
    with pytest.raises(AttachmentError, match="public_url"):
        attach(EmailMessage(), job)


def test_attach_reports_a_missing_file(job: RenderJob) -> None:
    """A file that is missing in the storage raises an error."""
    job.file.storage.delete(job.file.name)
    with pytest.raises(AttachmentError, match="missing from the storage"):
        attach(EmailMessage(), job)


# --- document_url ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "start"),
    [
        ("https://shop.example", "https://shop.example/docraptor/documents/"),
        ("https://shop.example/shop/", "https://shop.example/shop/docraptor/documents/"),
    ],
)
def test_document_url_starts_with_the_sites_url(settings: Any, base: str, start: str) -> None:
    """The link leads to the status page under the site's URL."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": base}
    job = enqueue()
    assert document_url(job) == f"{start}{job.pk}/status/"


def test_document_url_needs_the_sites_url(settings: Any) -> None:
    """Without CALLBACK_BASE_URL an error is raised."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": ""}
    with pytest.raises(ConfigurationError, match="CALLBACK_BASE_URL"):
        document_url(enqueue())


# --- notify_owner ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_owner_of_a_completed_job_gets_a_link(notify_owner_connected, job: RenderJob) -> None:
    """The owner gets a link, as text and as HTML."""
    (message,) = outbox.outbox
    assert (message.to, message.subject) == (["owner@example.com"], "hello.pdf is ready")
    assert document_url(job) in message.body
    html, mimetype = message.alternatives[0]
    assert mimetype == "text/html"
    assert f'href="{document_url(job)}"' in html


@pytest.mark.django_db(transaction=True)
def test_owner_of_a_failed_job_gets_no_details(
    notify_owner_connected, owner, sandbox: Sandbox
) -> None:
    """The owner reads a customer's words and a reference, and not DocRaptor's reason."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="ORA-00942 in pricing"))
    job = run_until_finished(enqueue(owner=owner))
    (message,) = outbox.outbox
    assert message.subject == "hello.pdf could not be generated"
    assert f"https://shop.example/docraptor/documents/{job.pk}/status/" in message.body
    assert "ORA-00942" not in message.message().as_string()
    for text in (message.body, message.alternatives[0][0]):
        assert str(job.explanation.for_customers) in text  # type: ignore[union-attr]
        assert f"Reference: {job.reference}" in text


def test_repeated_signal_sends_one_mail(job: RenderJob) -> None:
    """A repeated signal sends one e-mail; another attempt sends another one."""
    for _ in range(2):
        notify_owner(RenderJob, job)
    assert len(outbox.outbox) == 1
    job.attempt += 1
    notify_owner(RenderJob, job)
    assert len(outbox.outbox) == 2


def test_repeated_mail_has_the_same_message_id(job: RenderJob) -> None:
    """If the cache forgets, the second e-mail has the same Message-ID."""
    for _ in range(2):
        cache.clear()
        notify_owner(RenderJob, job)
    first, second = (message.message()["Message-ID"] for message in outbox.outbox)
    assert first == second == f"<{job.pk}.1.completed@shop.example>"


class FailingCache(LocMemCache):
    """A cache whose server is down."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Fail as a client of Redis does."""
        raise ConnectionError("refused")

    set = get


class ReadOnlyCache(LocMemCache):
    """A cache whose server takes nothing more."""

    set = FailingCache.get


@pytest.mark.parametrize("broken", [FailingCache, ReadOnlyCache])
def test_broken_cache_costs_no_mail_and_sends_none_again(
    job: RenderJob, settings: Any, broken: type
) -> None:
    """The mail is sent, and nothing is to be sent again because the cache failed."""
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.{broken.__name__}"}}
    notify_owner(RenderJob, job)
    assert len(outbox.outbox) == 1
    assert not job.events.filter(kind=EventKind.MAIL_FAILED).exists()


def use_mail(settings: Any, backend: str, **options: Any) -> None:
    """Choose the e-mail backend, in the way of each Django version."""
    path = f"django.core.mail.backends.{backend}.EmailBackend"
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": path, "OPTIONS": options}}
    else:
        settings.EMAIL_BACKEND = path
        settings.EMAIL_HOST, settings.EMAIL_PORT = options.get("host"), options.get("port")


def test_mail_that_was_not_sent_is_not_remembered(job: RenderJob, settings: Any) -> None:
    """An e-mail that could not be sent is sent by the next signal."""
    use_mail(settings, "smtp", host="127.0.0.1", port=9)
    notify_owner(RenderJob, job)
    use_mail(settings, "locmem")
    notify_owner(RenderJob, job)
    assert len(outbox.outbox) == 1


def let_next_try_come() -> None:
    """Let the engine repeat what is due within two hours."""
    skip_time(2 * 3600)
    lifecycle.recover()


@pytest.mark.fault("F12")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fails", [False, True], ids=["completed", "failed"])
def test_mail_that_fails_is_sent_again(
    notify_owner_connected, owner, sandbox: Sandbox, documents_dir, settings: Any, fails: bool
) -> None:
    """A mail server that is down delays the mail; it is sent once, by ticks, and not forgotten."""
    if fails:
        sandbox.add_fault(Fault(on="render", action="fail", reason="no such image"))
    use_mail(settings, "smtp", host="127.0.0.1", port=9)
    job = run_until_finished(enqueue(owner=owner))
    let_next_try_come()
    failures = job.events.filter(kind=EventKind.MAIL_FAILED)
    assert [event.detail["tries"] for event in failures] == [1, 2]
    assert "ConnectionRefusedError" in failures[0].message
    assert outbox.outbox == []
    use_mail(settings, "locmem")
    for _ in range(3):
        let_next_try_come()
    (message,) = outbox.outbox
    assert message.to == ["owner@example.com"]
    assert failures.filter(signal_due_at__isnull=False).count() == 0


@pytest.mark.django_db(transaction=True)
def test_repeated_mail_keeps_its_language(job: RenderJob, settings: Any, tmp_path: Any) -> None:
    """A project's receiver knows the owner's language; the engine, which repeats it, does not."""
    write_subject(settings, tmp_path)
    use_mail(settings, "smtp", host="127.0.0.1", port=9)
    notify_owner(RenderJob, job, language="de")
    use_mail(settings, "locmem")
    let_next_try_come()
    assert outbox.outbox[0].subject == "de"


@pytest.mark.django_db(transaction=True)
def test_mail_of_before_a_retry_is_not_sent(owner, sandbox: Sandbox, settings: Any) -> None:
    """Who has retried the document gets no mail about its first failure."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="no such image"))
    job = run_until_finished(enqueue(owner=owner))
    use_mail(settings, "smtp", host="127.0.0.1", port=9)
    notify_owner(RenderJob, job)
    use_mail(settings, "locmem")
    assert retry(job)
    cancel(job)
    let_next_try_come()
    assert outbox.outbox == []


@pytest.mark.parametrize("fields", [{"email": ""}, {"is_active": False}])
def test_no_mail_to_an_owner_without_address_or_inactive(
    job: RenderJob, owner, fields: dict[str, Any]
) -> None:
    """An owner without an e-mail address, or an inactive one, gets no e-mail."""
    get_user_model().objects.update(**fields)
    notify_owner(RenderJob, RenderJob.objects.get())
    assert outbox.outbox == []


def test_no_mail_to_an_owner_who_may_not_download(
    job: RenderJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document class decides: an e-mail would name a document that the owner may not have."""
    RenderJob.objects.update(document=InvoicePDF.label)
    monkeypatch.setattr(InvoicePDF, "may_download", classmethod(lambda cls, user, job: False))
    notify_owner(RenderJob, RenderJob.objects.get())
    assert outbox.outbox == []


def test_no_mail_for_a_job_without_owner(job: RenderJob) -> None:
    """A job without an owner sends no e-mail."""
    job.owner = None
    notify_owner(RenderJob, job)
    assert outbox.outbox == []


@pytest.mark.parametrize("state", sorted(set(State) - {State.COMPLETED, State.FAILED}))
def test_no_mail_for_cancelled_jobs(job: RenderJob, state: State) -> None:
    """Only completed and failed jobs send an e-mail."""
    job.state = state
    notify_owner(RenderJob, job)
    assert outbox.outbox == []


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED])
def test_project_templates_override_the_mail(
    job: RenderJob, settings: Any, tmp_path: Any, state: State
) -> None:
    """A project's templates are used, with the job, its owner, the link and the language."""
    folder = tmp_path / "django_docraptor" / "mail"
    folder.mkdir(parents=True)
    start = "{% load i18n %}{% get_current_language as language %}{{ language }} "
    for ending in ("_subject.txt", ".txt", ".html"):
        page = start + "{{ owner.username }}\n{{ job.name }} {{ link }}"
        (folder / f"{state.value}{ending}").write_text(page)
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [tmp_path]}]
    job.state = state
    notify_owner(RenderJob, job)
    (message,) = outbox.outbox
    assert message.subject.startswith("en-us owner hello.pdf https://shop.example/")


def write_subject(settings: Any, tmp_path: Any) -> None:
    """Make the language the subject of each mail."""
    folder = tmp_path / "django_docraptor" / "mail"
    folder.mkdir(parents=True)
    template = "{% load i18n %}{% get_current_language as language %}{{ language }}"
    (folder / "completed_subject.txt").write_text(template)
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [tmp_path]}]


@pytest.mark.parametrize(("language", "start"), [("de", "ltr"), ("ar", "rtl")])
def test_mail_is_in_the_owners_language(job: RenderJob, language: str, start: str) -> None:
    """A receiver that knows the owner's language says so; the HTML has its direction."""
    html = build_message(job, job.owner, language=language).alternatives[0][0]
    assert f'<div lang="{language}" dir="{start}">' in html


def test_mail_is_in_the_language_of_the_request(
    owner, sandbox: Sandbox, documents_dir, settings, tmp_path
) -> None:
    """The e-mail is in the language in which the document was requested."""
    write_subject(settings, tmp_path)
    with translation.override("de"):
        job = enqueue(owner=owner)
    notify_owner(RenderJob, run_until_finished(job))
    assert outbox.outbox[0].subject == "de"
    job.input.delete()
    cache.clear()
    notify_owner(RenderJob, run_until_finished(job))
    assert outbox.outbox[1].subject == "en-us"


def test_subject_is_one_line_and_html_is_escaped(owner, sandbox: Sandbox, documents_dir) -> None:
    """A name with a line break adds no header, and HTML in it is escaped."""
    job = run_until_finished(enqueue(owner=owner))
    job.name = "a\r\nBcc: all@example.com <b>"
    notify_owner(RenderJob, job)
    (message,) = outbox.outbox
    assert message.subject == "a Bcc: all@example.com <b> is ready"
    assert message.message()["Bcc"] is None
    assert "<b>" not in message.alternatives[0][0]


def test_link_is_to_the_site_of_the_account(settings) -> None:
    """An account with a CALLBACK_BASE_URL of its own has its customers there, too."""
    own = {"acme": {"CALLBACK_BASE_URL": "https://acme.example"}}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": own}
    assert document_url(RenderJob(account="acme")).startswith("https://acme.example/")
