"""The tags for a site's own pages: a document's progress, and a user's latest documents."""

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import reverse

from django_docraptor.models import RenderJob
from django_docraptor.states import ErrorCode, State
from tests.support.assets import MANIFEST
from tests.support.jobs import enqueue

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> Any:
    """The user who looks at the page."""
    return get_user_model().objects.create_user("owner")


def render(text: str, user: Any, **context: Any) -> str:
    """Render a page of the site for a user."""
    request = RequestFactory().get("/invoices/")
    request.user = user
    template = Template("{% load docraptor %}" + text)
    return template.render(Context({"request": request, **context}))


def finish(job: RenderJob, state: State, **columns: Any) -> RenderJob:
    """Put the job into a final state."""
    RenderJob.objects.filter(pk=job.pk).update(state=state, due_at=None, **columns)
    return RenderJob.objects.get(pk=job.pk)


def test_progress_of_an_unfinished_document(owner: Any) -> None:
    """Word, sentence, link, and what the script needs."""
    job = enqueue(owner=owner)
    page = render("{% document_progress job %}", owner, job=job)
    url = reverse("django_docraptor:status", args=[job.pk])
    assert '<strong class="docraptor-label">Waiting</strong>' in page
    assert "Your document is being generated. " in page
    assert page.count(f'href="{url}"') == 1
    assert f'data-docraptor-status-url="{url}"' in page
    assert re.findall(r'<script src="([^"]+)" defer></script>', page) == [
        "/static/django_docraptor/progress.js"
    ]


@pytest.mark.parametrize(
    ("state", "columns", "name", "text"),
    [
        (State.COMPLETED, {}, "download", "Your document is ready."),
        (State.FAILED, {"error_code": ErrorCode.REJECTED}, "status", "must be corrected first."),
        (State.CANCELLED, {}, "status", "This document was cancelled."),
    ],
)
def test_progress_of_a_finished_document(
    owner: Any, state: State, columns: dict[str, Any], name: str, text: str
) -> None:
    """Nothing more will happen, so there is no script."""
    job = finish(enqueue(owner=owner), state, **columns)
    page = render("{% document_progress job %}", owner, job=job)
    assert f'href="{reverse(f"django_docraptor:{name}", args=[job.pk])}"' in page
    assert text in page
    assert "<script" not in page
    assert "data-docraptor" not in page


def test_script_is_loaded_once(owner: Any) -> None:
    """A page with several documents has one script, in loops and includes, too."""
    jobs = [enqueue(owner=owner), enqueue(owner=owner)]
    page = render(
        "{% for job in jobs %}{% document_progress job %}{% endfor %}"
        "{% if jobs %}{% document_progress jobs.0 %}{% endif %}",
        owner,
        jobs=jobs,
    )
    assert page.count('class="docraptor-progress"') == 3
    assert page.count("<script") == 1


def test_progress_is_only_for_those_who_may_download(owner: Any) -> None:
    """Neither a link nor a word, for another user, for an anonymous one, and without a job."""
    job = enqueue(owner=get_user_model().objects.create_user("other"))
    for user, value in ((owner, job), (AnonymousUser(), job), (owner, None), (owner, "")):
        assert render("{% document_progress job %}", user, job=value).strip() == ""


def test_progress_has_nothing_inline(owner: Any) -> None:
    """A strict policy of the page's site holds."""
    page = render("{% document_progress job %}", owner, job=enqueue(owner=owner))
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?! src=)", page) == []


def test_page_does_not_need_collected_files(owner: Any, settings: Any, tmp_path: Any) -> None:
    """Without collectstatic, the page of the project still works."""
    settings.STATIC_ROOT = str(tmp_path)
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": MANIFEST}}
    page = render("{% document_progress job %}", owner, job=enqueue(owner=owner))
    assert "django_docraptor/progress.js" in page


def test_my_documents_are_the_latest(owner: Any) -> None:
    """Five, or as many as the page asks for, with a link to all of them."""
    for number in range(7):
        finish(enqueue(owner=owner, name=f"<{number}>.pdf"), State.COMPLETED)
    enqueue(owner=get_user_model().objects.create_user("other"), name="theirs.pdf")
    page = render("{% my_documents %}", owner)
    assert re.findall(r"<bdi>&lt;(\d)&gt;.pdf", page) == ["6", "5", "4", "3", "2"]
    assert f'href="{reverse("django_docraptor:my-documents")}"' in page
    assert render("{% my_documents 2 %}", owner).count("<li>") == 2
    assert render("{% my_documents count=7 %}", owner).count("<li>") == 7
    assert render("{% my_documents 0 %}", owner).count("<li>") == 1


def test_my_documents_of_users_without_any(owner: Any) -> None:
    """Nothing is shown, also to an anonymous user."""
    enqueue()
    assert render("{% my_documents %}", owner).strip() == ""
    assert render("{% my_documents %}", AnonymousUser()).strip() == ""


@pytest.mark.parametrize("tag", ["document_progress job", "my_documents"])
def test_page_without_a_request_is_told_what_to_do(tag: str) -> None:
    """A template that does not know its user shows no document, and says why."""
    template = Template(f"{{% load docraptor %}}{{% {tag} %}}")
    with pytest.raises(ImproperlyConfigured, match="context_processors"):
        template.render(Context({"job": enqueue()}))
