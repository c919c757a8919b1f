"""Links from a job to its source, for users who may view it."""

from typing import Any

import pytest
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_docraptor.admin.sources import load_sources, source_link
from django_docraptor.models import RenderJob
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import LIST, VIEW, create_admin_job, get_text, job_url, staff_client

pytestmark = pytest.mark.django_db


def test_source_link_needs_the_view_permission(client: Client) -> None:
    """A source is named and linked for users who may view it; others see its model and key."""
    group = Group.objects.create(name="Wholesale")
    job = create_admin_job(options={"source": group})
    url = f"/admin/auth/group/{group.pk}/change/"
    insider = staff_client(VIEW, "view_group")
    for address in (LIST, job_url(job)):
        assert f'<a href="{url}">Wholesale</a>' in get_text(insider, address)
        assert "Wholesale" not in get_text(client, address)
        assert f"group {group.pk}" in get_text(client, address)


def test_source_without_an_admin_is_not_linked() -> None:
    """A model without an admin is not linked, not even for a superuser."""
    invoice = Invoice.objects.create(number="2025-1")
    create_admin_job(options={"source": invoice})
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    assert f"invoice {invoice.pk}" in get_text(root, LIST)


def test_source_without_an_admin_url_is_named(rf: Any) -> None:
    """A source whose admin page has no URL is named, not linked."""
    invoice = Invoice.objects.create(number="2025-1")
    job = create_admin_job(options={"source": invoice})
    request = rf.get("/")
    request.user = User.objects.create_superuser("root")
    site = AdminSite()
    site.register(Invoice)
    load_sources(site, request, [job])
    assert source_link(site, job) == "2025-1"


class RestrictiveAdmin(ModelAdmin):
    """Hides one row from its queryset, and another one by permission."""

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).exclude(number="hidden")

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return obj is None or obj.number != "refused"


def test_source_hidden_by_its_admin_is_not_named(rf: Any) -> None:
    """A source is named only if its admin shows it to the user, whatever the number of sources."""
    numbers = ["2025-1", "hidden", "refused", "2025-2", "deleted"]
    invoices = [Invoice.objects.create(number=number) for number in numbers]
    jobs = [create_admin_job(options={"source": invoice}) for invoice in invoices]
    gone = invoices[-1].pk
    invoices[-1].delete()
    jobs = [RenderJob.objects.select_related("content_type").get(pk=job.pk) for job in jobs]
    request, site = rf.get("/"), AdminSite()
    request.user = User.objects.create_superuser("root")
    site.register(Invoice, RestrictiveAdmin)
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


def test_deleted_source_is_marked() -> None:
    """A deleted source does not break the page."""
    group = Group.objects.create(name="Wholesale")
    job = create_admin_job(options={"source": group})
    key = group.pk
    group.delete()
    insider = staff_client(VIEW, "view_group")
    for address in (LIST, job_url(job)):
        assert f"group {key} (deleted)" in get_text(insider, address)


@pytest.mark.parametrize("kind", ["model is gone", "key has another type"])
def test_unreadable_source_is_shown_by_its_key(client: Client, kind: str) -> None:
    """A source whose model was removed, or whose key has another type, does not break the page."""
    job = create_admin_job()
    if kind == "model is gone":
        stale = ContentType.objects.create(app_label="old", model="thing")
        ContentType.objects.clear_cache()  # of another test, whose type had the same ID
    else:
        stale = ContentType.objects.get_for_model(Group)
    RenderJob.objects.update(content_type=stale, object_id="not-a-number")
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    for address in (LIST, job_url(job)):
        assert f"{stale.name} not-a-number" in get_text(root, address)
