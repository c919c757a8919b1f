"""The list of groups in the admin."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_docraptor import enqueue_group
from django_docraptor.states import State
from tests.test_groups import end_jobs, merge, settled_group, specs

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "admin:django_docraptor_rendergroup_changelist"


def staff(*codenames: str) -> Client:
    """Return the browser of a member of staff with permissions."""
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def test_list_shows_progress_and_file(documents_dir: Path, django_assert_num_queries: Any) -> None:
    """The list says how many documents are there, and links to them and to the file."""
    group = settled_group(name="Invoices <b>")
    partial = enqueue_group(specs(2), name="Reminders", merge="zip")
    end_jobs(partial, State.COMPLETED, State.FAILED)
    merge(partial)
    client = staff("view_renderjob")
    page = client.get(reverse(LIST)).content.decode()
    assert "2 / 2" in page
    assert "1 / 2" in page
    assert page.count(group.get_absolute_url()) == 1
    assert "Invoices &lt;b&gt;" in page
    url = f"{reverse('admin:django_docraptor_renderjob_changelist')}?group__id__exact={group.pk}"
    assert url in page
    jobs = client.get(url)
    assert jobs.status_code == 200
    assert {job.pk for job in jobs.context["cl"].result_list} == {
        job.pk for job in group.jobs.all()
    }
    with django_assert_num_queries(6):
        client.get(reverse(LIST))


def test_page_of_a_group(documents_dir: Path) -> None:
    """A group has a page that shows why there is no file, and nothing can be changed."""
    group = settled_group()
    type(group).objects.update(state="failed", errors="Invoice 2 is encrypted")
    client = staff("view_renderjob")
    url = reverse("admin:django_docraptor_rendergroup_change", args=[group.pk])
    assert "Invoice 2 is encrypted" in client.get(url).content.decode()
    assert client.post(url, {"name": "x"}).status_code == 403


def test_list_needs_the_permission_to_view_jobs(documents_dir: Path) -> None:
    """Staff without it are refused."""
    settled_group()
    assert staff().get(reverse(LIST)).status_code == 403
