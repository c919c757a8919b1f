"""The list of a user's documents: whose, in which order, how many, and what it links."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.responses import my_documents
from django_docraptor.states import FINAL_STATES, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue
from tests.support.pages import create_staff, html_of

pytestmark = pytest.mark.django_db
URL = "/docraptor/documents/"


def create_documents(
    owner: Any, *names: str, state: State = State.COMPLETED, **columns: Any
) -> None:
    """Create documents, the first one latest."""
    now = timezone.now()
    for number, name in enumerate(names):
        job = enqueue(owner=owner, name=name, source=columns.get("source"))
        RenderJob.objects.filter(pk=job.pk).update(
            state=state,
            due_at=None if state in FINAL_STATES else seconds_from_now(60),
            created_at=now - timedelta(minutes=number),
            document=columns.get("document", ""),
        )


def shown(client: Client, query: str = "") -> str:
    """Return the page."""
    response = client.get(URL + query)
    assert response.status_code == 200
    return html_of(response)


def test_list_has_only_own_documents(owner_client: Client, owner) -> None:
    """Neither others' documents nor those without an owner are there, also for staff."""
    create_documents(owner, "mine.pdf")
    create_documents(get_user_model().objects.create_user("other"), "theirs.pdf")
    create_documents(None, "none.pdf")
    text = shown(owner_client)
    assert ("mine.pdf" in text, "theirs.pdf" in text, "none.pdf" in text) == (True, False, False)
    client = Client()
    client.force_login(create_staff("view_renderjob"))
    assert "mine.pdf" not in shown(client)


def test_latest_is_first(owner_client: Client, owner) -> None:
    """The order is that of the requests."""
    create_documents(owner, "new.pdf", "old.pdf")
    text = shown(owner_client)
    assert text.index("new.pdf") < text.index("old.pdf")


@pytest.mark.parametrize(
    ("state", "word", "link"),
    [
        (State.COMPLETED, "Ready", "download"),
        (State.PENDING, "Waiting", "status"),
        (State.WORKING, "In progress", "status"),
        (State.FAILED, "Failed", "status"),
        (State.CANCELLED, "Cancelled", None),
    ],
)
def test_document_links_to_what_helps(
    owner_client: Client, owner, state: State, word: str, link: str | None
) -> None:
    """A file, or the page that says more; nothing if there is no more to say."""
    create_documents(owner, "<i>.pdf", state=state)
    text = shown(owner_client)
    job = RenderJob.objects.get()
    links = {
        name: f'href="{reverse(f"django_docraptor:{name}", args=[job.pk])}"'
        for name in ("download", "status")
    }
    assert [name for name in links if links[name] in text] == ([link] if link else [])
    assert word in text
    assert "<i>" not in text


def test_document_that_may_not_be_downloaded_is_left_out(
    owner_client: Client, owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document class decides about its owner, too: neither name nor link is there."""
    create_documents(owner, "secret.pdf", document=InvoicePDF.label)
    create_documents(owner, "other.pdf")
    monkeypatch.setattr(InvoicePDF, "may_download", classmethod(lambda cls, user, job: False))
    text = shown(owner_client)
    assert ("secret.pdf" in text, "other.pdf" in text) == (False, True)


def test_number_of_queries_does_not_grow(
    owner_client: Client, owner, monkeypatch: Any, django_assert_num_queries: Any
) -> None:
    """Twenty documents whose class reads the source need as many queries as two."""

    def may_download(cls: type, user: Any, job: RenderJob) -> bool:
        return job.source is not None and job.source.number != "13"

    monkeypatch.setattr(InvoicePDF, "may_download", classmethod(may_download))
    ContentType.objects.clear_cache()
    for number in range(20):
        invoice = Invoice.objects.create(number=str(number))
        create_documents(owner, f"i-{number}.pdf", source=invoice, document=InvoicePDF.label)
    ContentType.objects.get_for_model(Invoice)
    with django_assert_num_queries(4):  # session, user, jobs, invoices
        text = shown(owner_client)
    assert text.count("<li>") == 19


def test_sources_that_are_gone_do_no_harm(owner_client: Client, owner) -> None:
    """Neither a deleted object, nor a model that is gone, nor a key of another type."""
    invoice = Invoice.objects.create(number="1")
    create_documents(owner, "deleted.pdf", "model.pdf", "key.pdf", source=invoice)
    Invoice.objects.all().delete()
    gone = ContentType.objects.create(app_label="gone", model="gone")
    RenderJob.objects.filter(name="model.pdf").update(content_type=gone)
    RenderJob.objects.filter(name="key.pdf").update(object_id="no number")
    assert shown(owner_client).count("<li>") == 3


def test_pages(owner_client: Client, owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page has its share, and links to its neighbours only."""
    create_documents(owner, *(f"n{number}.pdf" for number in range(41)))
    found = [shown(owner_client, f"?page={number}") for number in (1, 2, 3)]
    assert [text.count("<li>") for text in found] == [20, 20, 1]
    assert ['rel="prev"' in text for text in found] == [False, True, True]
    assert ['rel="next"' in text for text in found] == [True, True, False]
    monkeypatch.setattr(my_documents, "MAX_PAGES", 2)
    assert 'rel="next"' not in shown(owner_client, "?page=2")


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "501", "99999999999", "\u0661", "1.0"])
def test_page_that_is_none_is_404(owner_client: Client, page: str) -> None:
    """Nothing else than a small number is read, and the database is not asked to skip millions."""
    assert owner_client.get(URL, {"page": page}).status_code == 404


def test_empty_list_says_so(owner_client: Client) -> None:
    """An empty page is no mistake."""
    assert "There are no documents here." in shown(owner_client)


def test_anonymous_user_is_sent_to_the_login(client: Client) -> None:
    """The list needs a user."""
    response = client.get(URL)
    assert response["Location"].startswith("/accounts/login/?next=")


def test_list_is_not_cached_and_not_changed(owner_client: Client) -> None:
    """A shared computer keeps nothing of it, and a POST is refused."""
    assert "no-store" in owner_client.get(URL)["Cache-Control"]
    assert owner_client.post(URL).status_code in (403, 405)
