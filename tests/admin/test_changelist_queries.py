"""Reports on all rows of a list: what is stored, which rows a worker finds, and for whom."""

from typing import Any

import pytest
from django.contrib.admin.sites import AdminSite, all_sites
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_docraptor import registry
from django_docraptor.admin.changelist_queries import RESOLVER, resolve_query
from django_docraptor.documents import reports
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ErrorCode, State
from tests.apps.shop.admin import InvoiceAdmin, InvoiceList
from tests.apps.shop.models import Invoice
from tests.support.admin_documents import (
    CHANGE,
    LIST,
    ORDER,
    create_invoices,
    messages_of,
    run_action,
)
from tests.support.jobs import run_until_finished

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.databases,
    pytest.mark.urls("tests.apps.shop.urls"),
]


def enqueue_report(clerk: Client, query: str = "") -> Any:
    """Enqueue a report on all pages of the list; return what is stored about its rows."""
    response = run_action(clerk, InvoiceList, create_invoices(1), url=LIST + query, select_across=1)
    assert "Queued" in messages_of(response)
    return RenderInput.objects.get().params["rows"]


def rendered_html() -> str:
    """Return what the worker would send for the one job."""
    job = RenderJob.objects.get()
    return registry.get(job.document).render(job, job.input)


def create_invoice(text: str) -> Invoice:
    """Return a new invoice with that number."""
    return Invoice.objects.create(number=text)


def test_list_is_stored_as_its_query(clerk: Client) -> None:
    """The list, its filters and the user are stored, whatever the number of rows, but no keys."""
    stored = enqueue_report(clerk, "?q=2026&o=-1&p=1&all=")
    user = User.objects.get()
    assert stored == {
        RESOLVER: {
            "site": "shop",
            "model": "shop.invoice",
            "query": "q=2026&o=-1",
            "user": str(user.pk),
        }
    }


def test_rows_are_those_of_the_list_when_rendering(clerk: Client) -> None:
    """Search and order apply to the current rows: new ones are included, deleted ones are not."""
    gone = create_invoice("2026-b")
    create_invoice("other")
    enqueue_report(clerk, "?q=2026&o=-1")
    create_invoice("2026-c")
    gone.delete()
    html = rendered_html()
    assert [part.partition("<")[0] for part in html.split("<tr><td>")[1:]] == ["2026-c", "2026-000"]


def test_selection_is_stored_as_keys(clerk: Client) -> None:
    """Selected rows are stored by their keys."""
    chosen = create_invoices(2)
    run_action(clerk, InvoiceList, chosen)
    assert RenderInput.objects.get().params["rows"] == {"keys": [each.pk for each in chosen]}


def test_whole_list_report_has_no_row_limit(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """``max_rows`` limits keys, so it does not apply here."""
    monkeypatch.setattr(InvoiceList, "max_rows", 2)
    create_invoices(5)
    enqueue_report(clerk)
    assert len(InvoiceList(None, RenderInput.objects.get().params).rows) == 6


def test_rows_are_read_in_chunks(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither all rows nor all of their keys are in memory at once."""
    monkeypatch.setattr(InvoiceList, "chunk_size", 2)
    create_invoices(5)
    enqueue_report(clerk)
    rows = InvoiceList(None, RenderInput.objects.get().params).rows
    with CaptureQueriesContext(connection) as queries:
        assert len(list(rows)) == 6
    assert len([query for query in queries if " IN (" in query["sql"]]) == 3


def revoke(user: User, how: str) -> None:
    """Take a permission or a status from a user."""
    if how == "deleted":
        user.delete()
    elif how in ("is_staff", "is_active"):
        User.objects.update(**{how: False})
    else:
        user.user_permissions.remove(Permission.objects.get(codename=how))


@pytest.mark.parametrize("how", [CHANGE, ORDER, "is_staff", "is_active", "deleted"])
def test_lost_permission_fails_the_job(clerk: Client, sandbox: Sandbox, how: str) -> None:
    """If the user may no longer generate it, the job fails and says why, and nothing is sent."""
    enqueue_report(clerk)
    revoke(User.objects.get(), how)
    with pytest.raises(PermissionDenied):
        rendered_html()
    job = run_until_finished(RenderJob.objects.get())
    assert (job.state, job.error_code) == (State.FAILED, ErrorCode.TEMPLATE_ERROR)
    assert "requested this report" in job.errors
    assert sandbox.calls == []


def test_rows_are_those_of_the_user(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that shows each user other rows gives the worker the requesting user's."""

    def own(self: Any, request: HttpRequest) -> QuerySet[Invoice]:
        return Invoice.objects.filter(number__endswith=request.user.get_username()[-3:])

    monkeypatch.setattr(InvoiceAdmin, "get_queryset", own)
    mine = create_invoice(f"1-{User.objects.get().get_username()[-3:]}")
    assert RESOLVER in enqueue_report(clerk)
    assert mine.number in rendered_html()
    assert "2026-000" not in rendered_html()


def test_rows_that_depend_on_the_session_are_stored_as_keys(
    clerk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that a worker would not find, such as a tenant's, are stored by their keys."""

    def tenants(self: Any, request: HttpRequest) -> QuerySet[Invoice]:
        if hasattr(request, "session"):
            return Invoice.objects.filter(number__startswith="2026")
        return Invoice.objects.all()

    monkeypatch.setattr(InvoiceAdmin, "get_queryset", tenants)
    create_invoice("other")
    assert list(enqueue_report(clerk)) == ["keys"]
    assert "other" not in rendered_html()


def test_list_that_needs_middleware_is_stored_as_keys(
    clerk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a list needs its middleware, the keys of its rows are stored."""

    def demanding(self: Any, request: HttpRequest) -> QuerySet[Invoice]:
        return Invoice.objects.filter(number__startswith=str(request.session["year"]))

    session = clerk.session
    session["year"] = 2026
    session.save()
    monkeypatch.setattr(InvoiceAdmin, "get_queryset", demanding)
    assert list(enqueue_report(clerk)) == ["keys"]


def test_empty_list_gives_an_empty_report(clerk: Client) -> None:
    """A search without a result gives a report without rows."""
    assert enqueue_report(clerk, "?q=nothing")
    assert "<tr>" not in rendered_html()


def test_missing_admin_site_is_named(clerk: Client) -> None:
    """A worker without that admin site says what is missing."""
    arguments = enqueue_report(clerk)[RESOLVER]
    message = r"one admin site named 'gone' with shop\.Invoice registered, found 0\."
    with pytest.raises(ConfigurationError, match=message):
        resolve_query({**arguments, "site": "gone"})


def test_ambiguous_site_name_is_stored_as_keys(clerk: Client) -> None:
    """If two sites have the same name, the keys of the rows are stored."""
    other = AdminSite(name="shop")
    other.register(Invoice, InvoiceAdmin)
    assert list(enqueue_report(clerk)) == ["keys"]
    all_sites.discard(other)  # type: ignore[attr-defined] # or it is there till it is collected


def test_missing_resolver_is_named(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no function resolves the query, the error says so."""
    enqueue_report(clerk)
    monkeypatch.setattr(reports, "QUERY_RESOLVERS", {})
    with pytest.raises(ConfigurationError, match="changelist"):
        rendered_html()
