"""Documents in e-mails: attached, linked to, announced to their owner."""

from email import message_from_bytes, policy
from typing import Any

import django
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core import mail as outbox
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.utils import translation

from django_docraptor import signals
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.mail import AttachmentError, attach, document_url, notify_owner
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import run_until_finished, enqueue, read_file

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    """A site that knows its address, and two languages."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://shop.example"}
    settings.LANGUAGES = [("en", "English"), ("de", "German")]
    cache.clear()


@pytest.fixture
def owner() -> AbstractBaseUser:
    """Who is told."""
    return get_user_model().objects.create_user("owner", "owner@example.com")


@pytest.fixture
def job(owner: AbstractBaseUser, sandbox: Sandbox, documents_dir) -> RenderJob:
    """A finished document of the owner's."""
    return run_until_finished(enqueue(owner=owner))


@pytest.fixture
def connected() -> Any:
    """A project that wants its owners told."""
    for signal in (signals.document_completed, signals.document_failed):
        signal.connect(notify_owner)
    yield
    for signal in (signals.document_completed, signals.document_failed):
        signal.disconnect(notify_owner)


# --- attach ----------------------------------------------------------------------------------


def test_attach(job: RenderJob) -> None:
    """The document is in the message, under its name and type."""
    message = EmailMessage("Your invoice", to=["customer@example.com"])
    attach(message, job)
    message.send()
    (sent,) = outbox.outbox
    assert tuple(sent.attachments[0]) == ("hello.pdf", read_file(job), "application/pdf")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\n\nSGVsbG8gZXZpbA==\n.pdf", "a SGVsbG8gZXZpbA== .pdf"),
        ("a\nBcc: x\n\n.pdf", "a Bcc: x .pdf"),
        ("a\r\nb\x00\x7f\x85\u2028c\u202efdp", "a b cfdp.pdf"),
        ("Rechnung \u00e4\u00f6\n\n\u20ac.pdf", "Rechnung \u00e4\u00f6 \u20ac.pdf"),
    ],
)
def test_attach_name_with_line_breaks(job: RenderJob, name: str, shown: str) -> None:
    """A customer's text in the name stays within the attachment's header."""
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
def test_attach_unfinished(job: RenderJob, state: State) -> None:
    """What is not completed has no document, whatever its row says of a file."""
    message = EmailMessage()
    job.state = state
    with pytest.raises(AttachmentError, match=f"is {state.value}: only a completed one"):
        attach(message, job)
    assert message.attachments == []


def test_attach_too_large(job: RenderJob) -> None:
    """A document that no mail server would take is refused with another way; its size will do."""
    size = len(read_file(job))
    message = EmailMessage()
    with pytest.raises(AttachmentError, match="document_url"):
        attach(message, job, max_bytes=size - 1)
    assert message.attachments == []
    attach(message, job, max_bytes=size)
    assert len(message.attachments) == 1


def test_attach_hosted(sandbox: Sandbox) -> None:
    """What DocRaptor keeps is linked to, not attached."""
    job = run_until_finished(enqueue(hosted=True))
    with pytest.raises(AttachmentError, match="public_url"):
        attach(EmailMessage(), job)


def test_attach_file_gone(job: RenderJob) -> None:
    """A file that was removed from the storage is told as such."""
    job.file.storage.delete(job.file.name)
    with pytest.raises(AttachmentError, match="gone from the storage"):
        attach(EmailMessage(), job)


# --- document_url ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "start"),
    [
        ("https://shop.example", "https://shop.example/docraptor/documents/"),
        ("https://shop.example/shop/", "https://shop.example/shop/docraptor/documents/"),
    ],
)
def test_download_link(settings: Any, base: str, start: str) -> None:
    """The link leads to the document, at the address that the site says it has."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": base}
    job = enqueue()
    assert document_url(job) == f"{start}{job.pk}/waiting/"


def test_download_link_without_address(settings: Any) -> None:
    """Without the site's address there is no link, and no guess."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": ""}
    with pytest.raises(ConfigurationError, match="CALLBACK_BASE_URL"):
        document_url(enqueue())


# --- notify_owner ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_completed(connected, job: RenderJob) -> None:
    """The owner of a finished document gets a link, as text and as HTML."""
    (message,) = outbox.outbox
    assert (message.to, message.subject) == (["owner@example.com"], "hello.pdf is ready")
    assert document_url(job) in message.body
    html, mimetype = message.alternatives[0]
    assert mimetype == "text/html"
    assert f'href="{document_url(job)}"' in html


@pytest.mark.django_db(transaction=True)
def test_failed(connected, owner, sandbox: Sandbox) -> None:
    """The owner of a document that failed learns that, not why: that is for the staff."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="ORA-00942 in pricing"))
    job = run_until_finished(enqueue(owner=owner))
    (message,) = outbox.outbox
    assert message.subject == "hello.pdf could not be made"
    assert f"https://shop.example/docraptor/documents/{job.pk}/waiting/" in message.body
    assert "ORA-00942" not in message.message().as_string()


def test_twice(job: RenderJob) -> None:
    """A signal that comes twice is one mail; each state and attempt is news."""
    for _ in range(2):
        notify_owner(RenderJob, job)
    assert len(outbox.outbox) == 1
    job.attempt += 1
    notify_owner(RenderJob, job)
    assert len(outbox.outbox) == 2


def test_twice_with_a_forgetful_cache(job: RenderJob) -> None:
    """Should the cache forget, the second mail is known by its Message-ID."""
    for _ in range(2):
        cache.clear()
        notify_owner(RenderJob, job)
    first, second = (message.message()["Message-ID"] for message in outbox.outbox)
    assert first == second == f"<{job.pk}.1.completed@shop.example>"


def use_mail(settings: Any, backend: str, **options: Any) -> None:
    """Send mail in another way, said as each version of Django wants it said."""
    path = f"django.core.mail.backends.{backend}.EmailBackend"
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": path, "OPTIONS": options}}
    else:
        settings.EMAIL_BACKEND = path
        settings.EMAIL_HOST, settings.EMAIL_PORT = options.get("host"), options.get("port")


def test_mail_fails(job: RenderJob, settings: Any) -> None:
    """A mail that was not sent is not remembered as sent."""
    use_mail(settings, "smtp", host="127.0.0.1", port=9)
    with pytest.raises(OSError, match="refused"):
        notify_owner(RenderJob, job)
    use_mail(settings, "locmem")
    notify_owner(RenderJob, job)
    assert len(outbox.outbox) == 1


@pytest.mark.parametrize("fields", [{"email": ""}, {"is_active": False}])
def test_nobody_to_tell(job: RenderJob, owner, fields: dict[str, Any]) -> None:
    """An owner without an address, or locked out, gets nothing."""
    get_user_model().objects.update(**fields)
    notify_owner(RenderJob, RenderJob.objects.get())
    assert outbox.outbox == []


def test_no_owner(job: RenderJob) -> None:
    """A job of nobody's is nobody's news."""
    job.owner = None
    notify_owner(RenderJob, job)
    assert outbox.outbox == []


@pytest.mark.parametrize("state", sorted(set(State) - {State.COMPLETED, State.FAILED}))
def test_no_news(job: RenderJob, state: State) -> None:
    """Only an end that the owner does not know of is told; cancelled is what a person did."""
    job.state = state
    notify_owner(RenderJob, job)
    assert outbox.outbox == []


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED])
def test_templates(job: RenderJob, settings: Any, tmp_path: Any, state: State) -> None:
    """A project's own templates win; they see the job, its owner, the link and the language."""
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


def test_language_of_the_order(owner, sandbox: Sandbox, documents_dir, settings, tmp_path) -> None:
    """The mail is in the language of the request that ordered the document."""
    folder = tmp_path / "django_docraptor" / "mail"
    folder.mkdir(parents=True)
    template = "{% load i18n %}{% get_current_language as language %}{{ language }}"
    (folder / "completed_subject.txt").write_text(template)
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [tmp_path]}]
    with translation.override("de"):
        job = enqueue(owner=owner)
    notify_owner(RenderJob, run_until_finished(job))
    assert outbox.outbox[0].subject == "de"
    job.input.delete()
    cache.clear()
    notify_owner(RenderJob, run_until_finished(job))
    assert outbox.outbox[1].subject == "en-us"


def test_subject_is_one_line(owner, sandbox: Sandbox, documents_dir) -> None:
    """A name with a line end makes no further header, and is no HTML."""
    job = run_until_finished(enqueue(owner=owner))
    job.name = "a\r\nBcc: all@example.com <b>"
    notify_owner(RenderJob, job)
    (message,) = outbox.outbox
    assert message.subject == "a Bcc: all@example.com <b> is ready"
    assert message.message()["Bcc"] is None
    assert "<b>" not in message.alternatives[0][0]
