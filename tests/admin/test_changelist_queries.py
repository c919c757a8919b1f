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
from tests.support.admin_documents import CHANGE, LIST, ORDER, invoices, said, select
from tests.support.jobs import run_until_finished

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apps.shop.urls")]


def enqueue_report(clerk: Client, query: str = "") -> Any:
    """Enqueue a report on all pages of the list; return what is stored about its rows."""
    response = select(clerk, InvoiceList, invoices(1), url=LIST + query, select_across=1)
    assert "Queued" in said(response)
    return RenderInput.objects.get().params["rows"]


def rendered() -> str:
    """Return what the worker would send for the one job."""
    job = RenderJob.objects.get()
    return registry.get(job.document).render(job, job.input)


def number(text: str) -> Invoice:
    """An invoice with that number."""
    return Invoice.objects.create(number=text)


def test_no_keys_are_stored(clerk: Client) -> None:
    """Which list, which filters, and who: whatever the number of rows; and no page of it."""
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


def test_rows_as_the_list_shows_them_now(clerk: Client) -> None:
    """Search and order count; rows that came later are in, those that went are not."""
    gone = number("2026-b")
    number("other")
    enqueue_report(clerk, "?q=2026&o=-1")
    number("2026-c")
    gone.delete()
    html = rendered()
    assert [part.partition("<")[0] for part in html.split("<tr><td>")[1:]] == ["2026-c", "2026-000"]


def test_a_selection_stays_what_it_was(clerk: Client) -> None:
    """Selected rows are stored by their keys."""
    chosen = invoices(2)
    select(clerk, InvoiceList, chosen)
    assert RenderInput.objects.get().params["rows"] == {"keys": [each.pk for each in chosen]}


def test_no_bound(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """``max_rows`` bounds keys; here are none."""
    monkeypatch.setattr(InvoiceList, "max_rows", 2)
    invoices(5)
    enqueue_report(clerk)
    assert len(InvoiceList(None, RenderInput.objects.get().params).rows) == 6


def test_rows_come_in_chunks(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all rows are in memory at once, nor all their keys."""
    monkeypatch.setattr(InvoiceList, "chunk_size", 2)
    invoices(5)
    enqueue_report(clerk)
    rows = InvoiceList(None, RenderInput.objects.get().params).rows
    with CaptureQueriesContext(connection) as queries:
        assert len(list(rows)) == 6
    assert len([query for query in queries if " IN (" in query["sql"]]) == 3


def revoke(user: User, how: str) -> None:
    """Take from a user what is needed."""
    if how == "deleted":
        user.delete()
    elif how in ("is_staff", "is_active"):
        User.objects.update(**{how: False})
    else:
        user.user_permissions.remove(Permission.objects.get(codename=how))


@pytest.mark.parametrize("how", [CHANGE, ORDER, "is_staff", "is_active", "deleted"])
def test_permission_lost(clerk: Client, sandbox: Sandbox, how: str) -> None:
    """If the user may no longer generate it, the job fails and says why, and nothing is sent."""
    enqueue_report(clerk)
    revoke(User.objects.get(), how)
    with pytest.raises(PermissionDenied):
        rendered()
    job = run_until_finished(RenderJob.objects.get())
    assert (job.state, job.error_code) == (State.FAILED, ErrorCode.TEMPLATE_ERROR)
    assert "requested this report" in job.errors
    assert sandbox.calls == []


def test_rows_are_the_users(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that shows each user their own shows the worker the owner's."""

    def own(self: Any, request: HttpRequest) -> QuerySet[Invoice]:
        return Invoice.objects.filter(number__endswith=request.user.get_username()[-3:])

    monkeypatch.setattr(InvoiceAdmin, "get_queryset", own)
    mine = number(f"1-{User.objects.get().get_username()[-3:]}")
    assert RESOLVER in enqueue_report(clerk)
    assert mine.number in rendered()
    assert "2026-000" not in rendered()


def test_rows_that_depend_on_more(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker would not find again, such as a tenant's rows, is stored by its keys."""

    def tenants(self: Any, request: HttpRequest) -> QuerySet[Invoice]:
        if hasattr(request, "session"):
            return Invoice.objects.filter(number__startswith="2026")
        return Invoice.objects.all()

    monkeypatch.setattr(InvoiceAdmin, "get_queryset", tenants)
    number("other")
    assert list(enqueue_report(clerk)) == ["keys"]
    assert "other" not in rendered()


def test_list_that_needs_a_whole_request(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a list needs its middleware, the keys of its rows are stored."""

    def demanding(self: Any, request: HttpRequest) -> QuerySet[Invoice]:
        return Invoice.objects.filter(number__startswith=str(request.session["year"]))

    session = clerk.session
    session["year"] = 2026
    session.save()
    monkeypatch.setattr(InvoiceAdmin, "get_queryset", demanding)
    assert list(enqueue_report(clerk)) == ["keys"]


def test_nothing_found(clerk: Client) -> None:
    """A search without a result is a report without rows."""
    assert enqueue_report(clerk, "?q=nothing")
    assert "<tr>" not in rendered()


def test_unknown_site(clerk: Client) -> None:
    """A worker without that admin says what it lacks."""
    arguments = enqueue_report(clerk)[RESOLVER]
    message = r"one admin site named 'gone' with shop\.Invoice registered, found 0\."
    with pytest.raises(ConfigurationError, match=message):
        resolve_query({**arguments, "site": "gone"})


def test_two_sites_of_a_name(clerk: Client) -> None:
    """If two sites have the same name, the keys of the rows are stored."""
    other = AdminSite(name="shop")
    other.register(Invoice, InvoiceAdmin)
    assert list(enqueue_report(clerk)) == ["keys"]
    all_sites.discard(other)  # type: ignore[attr-defined] # or it is there till it is collected


def test_unknown_resolver(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no function resolves the query, the job says so."""
    enqueue_report(clerk)
    monkeypatch.setattr(reports, "QUERY_RESOLVERS", {})
    with pytest.raises(ConfigurationError, match="changelist"):
        rendered()
