"""What the how-to pages promise, tried with the code that they show."""

import os
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import docraptor as official_client
import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from django_docraptor import Document, RenderJob, document_completed, enqueue
from django_docraptor.account_settings import UnknownAccountError, account_names, account_settings
from django_docraptor.callback_urls import make_token
from django_docraptor.checks import check_settings
from django_docraptor.models import seconds_from_now
from django_docraptor.payloads import DocumentRequest, unknown_options
from django_docraptor.states import ErrorCode, State
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import failed_job, job_url
from tests.support.markdown import ROOT, blocks
from tests.support.pages import client_of

pytestmark = pytest.mark.django_db
HOW_TO = ROOT / "docs" / "how-to"


def code(page: str, part: str) -> str:
    """Return the block of a how-to page that contains a text."""
    found = [each.code for each in blocks("python") if each.page == f"docs/how-to/{page}"]
    (block,) = [each for each in found if part in each]
    return block


def table(page: str, header: str) -> list[list[str]]:
    """Return the rows of the table below a header's first cell."""
    text = (HOW_TO / page).read_text().partition(f"| {header} |")[2].partition("\n\n")[0]
    rows = [line.strip("|").split(" | ") for line in text.splitlines()[2:]]
    return [[cell.strip() for cell in row] for row in rows]


# --- permissions.md --------------------------------------------------------------------------


def test_every_permission_is_listed() -> None:
    """The table has the permissions that the package adds to Django's, and those it asks for."""
    listed = {row[0].strip("` ") for row in table("permissions.md", "permission")}
    models = list(apps.get_app_config("django_docraptor").get_models())
    added = {codename for model in models for codename, _ in model._meta.permissions}
    source = "".join(file.read_text() for file in (ROOT / "django_docraptor").rglob("*.py"))
    quoted = set(re.findall(r'"django_docraptor\.([a-z]+_[a-z]+)"', source))
    known = Permission.objects.filter(content_type__app_label="django_docraptor")
    asked = quoted & set(known.values_list("codename", flat=True))
    # The list of accounts asks for its permission by Django's own method.
    assert listed == {f"django_docraptor.{name}" for name in added | asked | {"view_account"}}


def test_roles_have_their_permissions() -> None:
    """The page's code creates the groups, and each permission that it names is there."""
    exec(code("permissions.md", "ROLES = {"), scope := {})
    for name, codenames in scope["ROLES"].items():
        permissions = Group.objects.get(name=name).permissions.values_list("codename", flat=True)
        assert sorted(permissions) == sorted(codenames)


def test_supervisor_may_retry_and_a_clerk_may_not() -> None:
    """The roles do in the admin what their table says."""
    exec(code("permissions.md", "ROLES = {"), {})
    job = failed_job()
    pages = {}
    for role in ("Clerks", "Supervisors"):
        user = get_user_model().objects.create_user(role, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        pages[role] = client_of(user).get(job_url(job))
    assert pages["Clerks"].status_code == 403
    assert job_url(job, "retry") in pages["Supervisors"].content.decode()


# --- accounts.md -----------------------------------------------------------------------------


@pytest.fixture
def account_document() -> type[Document[Invoice]]:
    """The page's class, whose account follows from its source."""
    scope: dict[str, Any] = {"Document": Document, "Invoice": Invoice, "__name__": "shop.documents"}
    source = code("accounts.md", "def get_account(").replace(
        "self.source.shop.docraptor_account", 'f"shop-{self.source.number}"'
    )
    exec(source, scope)
    document: type[Document[Invoice]] = scope["InvoicePDF"]
    return document


def test_account_follows_from_the_source(account_document) -> None:
    """A call, several documents at once, and a save use the account of the object."""
    one, two = Invoice.objects.create(number="1"), Invoice.objects.create(number="2")
    jobs = [account_document.enqueue(one), *account_document.enqueue_many([one, two])]
    assert [job.account for job in jobs] == ["shop-1", "shop-1", "shop-2"]
    assert account_document.enqueue(one, account="other").account == "other"
    account_document.on_save()
    three = Invoice.objects.create(number="3")
    assert RenderJob.objects.for_source(three).get().account == "shop-3"


def test_each_account_has_its_key(settings: Any, monkeypatch: pytest.MonkeyPatch, sandbox) -> None:
    """The page's function is asked for the key of each account."""
    exec(code("accounts.md", "def get_api_key"), scope := {})
    for name in ("NORTH", "SOUTH"):
        monkeypatch.setenv(f"DOCRAPTOR_KEY_{name}", f"key of {name}")
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"API_KEY": scope["get_api_key"]}
    from django_docraptor.conf import conf

    assert conf.get_api_key("south") == "key of SOUTH"


class Tenants:
    """Stands for the manager of a model: tenants by their slugs."""

    def __init__(self, **shops: Any) -> None:
        self.shops = {slug: SimpleNamespace(**columns) for slug, columns in shops.items()}

    def values_list(self, name: str, *, flat: bool) -> list[str]:
        """Return the slugs."""
        return list(self.shops)

    def get(self, slug: str) -> Any:
        """Return a tenant."""
        if slug not in self.shops:
            raise ObjectDoesNotExist
        return self.shops[slug]


def test_provider_knows_each_tenant(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's provider gives each tenant its key and its mode, and no other name is accepted."""
    module = ModuleType("shop.tenants")
    module.Tenant = SimpleNamespace(  # type: ignore[attr-defined]
        objects=Tenants(acme={"docraptor_key": "key of acme", "has_paid": True})
    )
    monkeypatch.setitem(sys.modules, "shop.tenants", module)
    exec(code("accounts.md", "class TenantAccounts"), scope := {})
    settings.DOCRAPTOR = {**settings.DOCRAPTOR, "API_KEY": "", "ACCOUNTS": scope["TenantAccounts"]}
    acme = account_settings("acme")
    assert (acme.api_keys, acme.test_mode, account_names()) == (("key of acme",), False, ("acme",))
    with pytest.raises(UnknownAccountError, match="Did you mean 'acme'"):
        account_settings("acne")


def test_named_accounts_have_what_the_page_says(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's settings are valid; what an account lacks is as for all."""
    for name in ("DOCRAPTOR_API_KEY", "DOCRAPTOR_KEY_NORTH", "DOCRAPTOR_KEY_SOUTH"):
        monkeypatch.setenv(name, name)
    exec(code("accounts.md", '"trial": {}'), scope := {"os": os})
    settings.DOCRAPTOR = scope["DOCRAPTOR"]
    assert check_settings(None) == []
    assert [account_settings(name).test_mode for name in ("north", "south", "trial")] == [
        *(False, True, True)
    ]
    assert account_settings("trial").api_keys == ("DOCRAPTOR_API_KEY",)


# --- proxies.md ------------------------------------------------------------------------------


def callback_path() -> str:
    """Return the path of a callback for a job that DocRaptor has."""
    job = enqueue(name="letter.pdf", content="<p>Hello</p>")
    columns = {"state": State.QUEUED, "attempt": 1, "status_id": "1"}
    RenderJob.objects.filter(pk=job.pk).update(due_at=seconds_from_now(60), **columns)
    return reverse("django_docraptor:callback", args=[make_token(job.pk, 1)])


@pytest.fixture
def tls_proxy(settings: Any) -> None:
    """A site that redirects http, behind a proxy that ends TLS."""
    settings.MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware",
        *settings.MIDDLEWARE,
    ]
    settings.SECURE_SSL_REDIRECT = True


def post_over_tls(client: Client, path: str, **headers: str) -> HttpResponse:
    """Send what a proxy makes of a POST by https."""
    response: HttpResponse = client.post(path, headers={"X-Forwarded-Proto": "https", **headers})
    return response


def test_callback_behind_a_proxy(settings: Any, tls_proxy) -> None:
    """It is redirected, and lost, unless Django trusts the proxy's header."""
    path = callback_path()
    assert post_over_tls(Client(), path).status_code == 301
    exec(code("proxies.md", "SECURE_PROXY_SSL_HEADER ="), scope := {})
    settings.SECURE_PROXY_SSL_HEADER = scope["SECURE_PROXY_SSL_HEADER"]
    assert post_over_tls(Client(), path).status_code == 204


@pytest.mark.parametrize(("trusts", "status"), [(False, 403), (True, 302)])
def test_retry_behind_a_proxy(settings: Any, trusts: bool, status: int) -> None:
    """The button of the status page is refused unless Django trusts the proxy's header."""
    owner = get_user_model().objects.create_user("owner")
    job = enqueue(name="letter.pdf", content="<p>Hello</p>", owner=owner)
    columns = {"state": State.FAILED, "error_code": ErrorCode.SUBMIT_FAILED}
    RenderJob.objects.filter(pk=job.pk).update(due_at=None, **columns)
    if trusts:
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    path = reverse("django_docraptor:status", args=[job.pk])
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    headers = {"X-Forwarded-Proto": "https", "Host": "testserver", "Origin": "https://testserver"}
    page = client.get(path, headers=headers).content.decode()
    (token,) = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', page)
    response = client.post(path, {"csrfmiddlewaretoken": token}, headers=headers)
    assert response.status_code == status


def test_callback_passes_a_middleware_that_requires_a_login(settings: Any) -> None:
    """With the page's middleware, a callback is accepted and the admin is not."""
    from django.contrib.auth.views import redirect_to_login

    scope: dict[str, Any] = {"redirect_to_login": redirect_to_login}
    exec(code("proxies.md", "class LoginEverywhere"), scope)
    login_everywhere.factory = scope["LoginEverywhere"]  # type: ignore[attr-defined]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.login_everywhere"]
    assert Client().post(callback_path()).status_code == 204
    assert Client().get("/admin/").status_code == 302


def login_everywhere(get_response: Any) -> Any:
    """Make the middleware that the page shows."""
    return login_everywhere.factory(get_response)  # type: ignore[attr-defined]


def status_page(**extra: Any) -> HttpResponse:
    """Return the status page of a job."""
    owner = get_user_model().objects.create_user("owner")
    job = enqueue(name="letter.pdf", content="<p>Hello</p>", owner=owner)
    response: HttpResponse = client_of(owner).get(
        reverse("django_docraptor:status", args=[job.pk]), **extra
    )
    return response


def test_status_page_meets_a_strict_policy(settings: Any) -> None:
    """With the page's policy, the status page has nothing inline, and its style is the site's."""
    pytest.importorskip("django.middleware.csp")
    scope: dict[str, Any] = {"MIDDLEWARE": [*settings.MIDDLEWARE]}
    exec(code("proxies.md", "SECURE_CSP"), scope)
    for name in ("MIDDLEWARE", "SECURE_CSP"):
        setattr(settings, name, scope[name])
    response = status_page()
    assert response["Content-Security-Policy"] == "default-src 'self'"
    page = response.content.decode()
    assert re.findall(r"<style|<script|\sstyle=|\son\w+=", page) == []
    assert re.findall('rel="stylesheet" href="([^"]+)"', page) == [
        "/static/django_docraptor/customers.css"
    ]


# --- asgi.md ---------------------------------------------------------------------------------


def test_receiver_may_be_async(docraptor) -> None:
    """A signal calls a receiver that is a coroutine."""
    names = []

    async def receive(job: RenderJob, **kwargs: Any) -> None:
        names.append(job.name)

    document_completed.connect(receive, weak=False)
    enqueue(name="letter.pdf", content="<p>Hello</p>")
    docraptor.render()
    assert names == ["letter.pdf"]


# --- moving.md -------------------------------------------------------------------------------


def test_every_call_of_the_client_has_an_equivalent() -> None:
    """The page lists all methods of the official client, and no others."""
    cells = " ".join(row[0] for row in table("moving.md", "client"))
    methods = {
        name
        for name in vars(official_client.DocApi)
        if not name.startswith("_") and not name.endswith("_with_http_info")
    }
    assert set(re.findall(r"`(\w+)`", cells)) - {"ApiException"} == methods


def test_options_on_the_page_are_known() -> None:
    """Each option in a dict of the tables is one that the package knows."""
    text = (HOW_TO / "moving.md").read_text()
    options = [eval(found) for found in re.findall(r"`options = (\{.*?\})`", text)]
    assert len(options) > 4
    requests = [
        DocumentRequest.from_options(name="a", content="b", options=each) for each in options
    ]
    assert [list(unknown_options(each)) for each in requests] == [[]] * len(options)


def test_class_that_replaces_the_task_delivers_to_the_field(docraptor) -> None:
    """The page's class saves the file to the invoice, as the task before it did."""
    source = code("moving.md", "deliver_to").replace("shop.models", "tests.apps.shop.models")
    exec(source, scope := {"__name__": "tests.apps.shop.documents"})
    invoice = Invoice.objects.create(number="17")
    scope["InvoicePDF"].enqueue(invoice)
    docraptor.render()
    (sent,) = docraptor.outbox
    assert (sent.name, sent.options["javascript"]) == ("invoice-17.pdf", True)
    invoice.refresh_from_db()
    assert invoice.pdf


# --- going-live.md ---------------------------------------------------------------------------


def test_jobs_of_a_copied_database_can_be_cancelled(docraptor) -> None:
    """After the page's code, an engine that runs on the copy sends nothing."""
    enqueue(name="letter.pdf", content="<p>Hello</p>", test=False)
    exec(code("going-live.md", "cancel(job)"), {})
    assert docraptor.render() == []
    assert docraptor.outbox == []
