"""The pages of the previews: who may see them, what they show, and that they change nothing."""

import gzip
from collections.abc import Iterator
from datetime import date
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.http import HttpResponse, HttpResponseRedirect
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse
from django.utils import timezone, translation
from pypdf import PdfReader

from django_docraptor.documents import Document, QuerysetDocument
from django_docraptor.models import RenderEvent, RenderInput, RenderJob, SynchronousCall
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.views import document_page
from tests.apps.shop.models import Invoice

LABEL = "tests.Previewed"
PAGES = ["preview", "preview-html", "preview-file", "preview-state"]


@document_page
def invoice_page(request: Any, pk: int) -> HttpResponse:
    """A page that shows its user."""
    html = f"<head></head><h1>{request.user.username} {pk}</h1><img src='logo.png'>"
    return HttpResponse(html.ljust(1_000))


def other_page(request: Any) -> HttpResponse:
    """A response that is not a page."""
    return HttpResponse("{}", content_type="application/json")


urlpatterns = [
    path("docraptor/", include("django_docraptor.urls")),
    path("invoices/<int:pk>/", invoice_page),
    path("json/", other_page),
    path("moved/", lambda request: HttpResponseRedirect("/invoices/1/?secret=1")),
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture(autouse=True)
def templates(settings: Any, tmp_path: Path) -> Path:
    """A directory of templates; the site is a developer's, and nothing is registered but ours."""
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path]}]
    settings.DEBUG = True
    (tmp_path / "invoice.html").write_text("<h1>Invoice {{ source.number }}</h1>")
    return tmp_path


@pytest.fixture
def invoice() -> Invoice:
    """The only sample."""
    return Invoice.objects.create(number="A-1", total=45)


def declare(base: Any = Document, **attributes: Any) -> Any:
    """Declare a document class for invoices."""
    values = {
        "model": Invoice,
        "template_name": "invoice.html",
        "__module__": "tests",
        **attributes,
    }
    return type("Previewed", (base,), values)


def url(name: str = "preview", label: str = LABEL, **query: str) -> str:
    """Return the URL of a view of a preview."""
    return reverse(f"django_docraptor:{name}", args=[label], query=query or None)


def body(client: Client, address: str) -> str:
    """Return the text of a page that must exist."""
    response = client.get(address)
    assert response.status_code == 200, response
    return unescape(response.content.decode())


@pytest.fixture
def _nothing_is_written() -> Iterator[None]:
    yield
    for model in (RenderJob, RenderInput, RenderEvent, SynchronousCall):
        assert not model._default_manager.exists()


# --- Who may see them --------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("user", ["anonymous", "customer", "permitted customer", "staff"])
def test_previews_are_not_found_by_others(
    client: Client, settings: Any, invoice: Invoice, name: str, user: str
) -> None:
    """Without DEBUG, only staff with the permission find them; a permission alone is not enough."""
    settings.DEBUG = False
    declare()
    if user != "anonymous":
        account = User.objects.create_user("ada", is_staff=user == "staff")
        if user == "permitted customer":
            account.user_permissions.add(Permission.objects.get(codename="preview_documents"))
        client.force_login(account)
    assert client.get(url(name)).status_code == 404
    assert client.get(reverse("django_docraptor:previews")).status_code == 404
    assert client.post(url("preview-test-document")).status_code == 404


def test_permitted_staff_see_them(client: Client, settings: Any, invoice: Invoice) -> None:
    """The permission is the package's own."""
    settings.DEBUG = False
    declare()
    account = User.objects.create_user("ada", is_staff=True)
    account.user_permissions.add(Permission.objects.get(codename="preview_documents"))
    client.force_login(account)
    assert "Previewed" in body(client, reverse("django_docraptor:previews"))
    assert "Invoice A-1" in body(client, url("preview-html"))


def test_developer_needs_no_login(client: Client, settings: Any, invoice: Invoice) -> None:
    """With DEBUG, a site of its own middleware shows them to anonymous users."""
    declare()
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert "Invoice A-1" in body(client, url("preview-html"))


def test_site_without_users_has_previews(client: Client, settings: Any, invoice: Invoice) -> None:
    """Neither sessions nor authentication are needed with DEBUG; without it, nothing is found."""
    declare()
    settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
    assert "Invoice A-1" in body(client, url("preview-html"))
    settings.DEBUG = False
    assert client.get(url()).status_code == 404


@pytest.mark.parametrize(
    "label", ["tests.Nothing", "../../etc/passwd", "<script>", "é\x00", "x" * 5000, "__class__"]
)
def test_hostile_labels_are_not_found(client: Client, label: str) -> None:
    """A label is looked up among the registered documents, and nowhere else."""
    for name in PAGES:
        escaped = "".join(f"%{byte:02x}" for byte in label.encode())
        address = url(name, "LABEL").replace("LABEL", escaped)
        assert client.get(address).status_code == 404


@pytest.mark.parametrize("key", ["0", "", "A-1", "' OR 1=1 --", "\x00", "٣", "9" * 400])
def test_hostile_keys_are_not_found(client: Client, invoice: Invoice, key: str) -> None:
    """A key is compared with those of the samples; no other object can be asked for."""
    declare()
    assert client.get(url(source=key)).status_code == 404


def test_object_that_is_no_sample_is_not_shown(client: Client) -> None:
    """Only the newest five objects are samples."""
    declare()
    keys = [Invoice.objects.create(number=f"A-{number}").pk for number in range(6)]
    page = body(client, url())
    assert [f"A-{number}" in page for number in range(6)] == [False, *[True] * 5]
    assert client.get(url(source=str(keys[0]))).status_code == 404
    assert "Invoice A-3" in body(client, url("preview-html", source=str(keys[3])))


@pytest.mark.parametrize("name", [*PAGES, "previews"])
def test_only_safe_methods_are_allowed(client: Client, name: str) -> None:
    """A page of the previews is read only."""
    declare()
    address = reverse("django_docraptor:previews") if name == "previews" else url(name)
    assert client.post(address).status_code == 405


# --- Headers -----------------------------------------------------------------------------------


def test_page_has_a_strict_policy(client: Client, invoice: Invoice) -> None:
    """No inline script or style, nothing of another site, no frame around it, no cache."""
    declare()
    for address in (url(), reverse("django_docraptor:previews")):
        response = client.get(address)
        assert response["Content-Security-Policy"] == (
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in response["Cache-Control"]
        text = response.content.decode()
        assert "<style" not in text
        assert " style=" not in text
        assert "<script>" not in text
        assert "onclick" not in text


def test_static_files_of_another_host_are_allowed(
    client: Client, settings: Any, invoice: Invoice
) -> None:
    """A site whose static files are on its own CDN gets the styles of the page."""
    declare()
    settings.STATIC_URL = "https://static.shop.example/files/"
    policy = client.get(url())["Content-Security-Policy"]
    assert policy.startswith("default-src 'self' https://static.shop.example;")


def test_html_is_sandboxed(client: Client, invoice: Invoice, templates: Path) -> None:
    """A document's HTML has neither scripts nor an origin, and loads nothing of other sites."""
    declare()
    (templates / "invoice.html").write_text(
        "<script>alert(1)</script><img src='https://a.example/'>"
    )
    response = client.get(url("preview-html"))
    policy = response["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'; img-src http://testserver data:;")
    assert "script-src" not in policy
    assert "https: http:" not in policy.partition("base-uri")[0]
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert "sandbox></iframe>" in client.get(url(view="html")).content.decode()


def test_other_sites_are_named_and_loaded_on_request(
    client: Client, invoice: Invoice, templates: Path
) -> None:
    """The page says which sites are not asked, and has a link for that."""
    declare()
    (templates / "invoice.html").write_text(
        "<img src='https://user:secret@a.example/x.png'><img src='data:,'><img src='http://testserver/y'>"
    )
    page = body(client, url(view="html"))
    assert "Files of other sites are not loaded: a.example. " in page
    assert "secret@" not in page.partition("Files of other sites")[2][:40]
    policy = client.get(url("preview-html", external="1"))["Content-Security-Policy"]
    assert "img-src https: http: data:" in policy
    assert "script-src" not in policy


# --- What they show ----------------------------------------------------------------------------


@pytest.mark.usefixtures("_nothing_is_written")
def test_list_has_every_document(client: Client) -> None:
    """The list names the class, its model and its template."""
    declare(verbose_name="Rechnung <b>")
    response = client.get(reverse("django_docraptor:previews"))
    assert b"Rechnung &lt;b&gt;" in response.content
    page = response.content.decode()
    assert "invoice.html" in page
    assert url() in page
    assert "Previewed" in page


@pytest.mark.usefixtures("_nothing_is_written")
def test_hooks_write_nothing(client: Client, invoice: Invoice) -> None:
    """What a hook writes is rolled back, on every page."""

    def get_context(self: Any) -> dict[str, Any]:
        Invoice.objects.create(number="counted")
        self.enqueue(self.source)
        return {}

    declare(get_context=get_context)
    for name in PAGES:
        assert client.get(url(name)).status_code == 200
    assert Invoice.objects.count() == 1


@pytest.mark.usefixtures("_nothing_is_written")
def test_document_is_rendered_in_its_locale(
    client: Client, invoice: Invoice, templates: Path
) -> None:
    """Template and context see the language and time zone of the document, as in a worker."""
    (templates / "invoice.html").write_text("{{ seen }}")

    def get_context(self: Any) -> dict[str, Any]:
        return {"seen": f"{translation.get_language()} {timezone.get_current_timezone_name()}"}

    declare(get_context=get_context, language="de", time_zone="Asia/Tokyo")
    assert body(client, url("preview-html")) == "de Asia/Tokyo"
    assert translation.get_language() != "de"


def test_problems_have_their_template_lines(
    client: Client, invoice: Invoice, templates: Path
) -> None:
    """A problem names the file and the line, shows it, and links to its line of the source."""
    declare()
    (templates / "invoice.html").write_text("<p>\n<img alt='logo' src='logo.png'>\n</p>")
    page = body(client, url())
    assert "is not an absolute URL" in page
    assert f"{templates / 'invoice.html'}:2" in page
    assert "<img alt='logo' src='logo.png'>" in page
    assert f"{url(view='source')}#line-2" in page
    assert '<tr id="line-2" class="error">' in body(client, url(view="source"))


def test_undefined_variables_are_problems(
    client: Client, invoice: Invoice, templates: Path
) -> None:
    """A misspelt variable is listed with its line and the nearest name."""
    declare()
    (templates / "invoice.html").write_text("<p>\n{{ invoice.numbr }}</p>")
    page = body(client, url())
    assert "Invoice has no 'numbr'. Did you mean number?" in page
    assert f"{templates / 'invoice.html'}:2" in page


def test_failing_template_shows_its_line(client: Client, invoice: Invoice, templates: Path) -> None:
    """An error of a template is a page with its file and line, and no error of the server."""
    declare(get_context=lambda self: {"explode": explode})
    (templates / "invoice.html").write_text("<p>\n{{ explode }}")
    page = body(client, url())
    assert "RuntimeError: no such <total>" in page
    assert f"{templates / 'invoice.html'}:2" in page
    assert f"{Path(__file__).relative_to(Path.cwd())}:" in page
    assert "Traceback (most recent call last)" in page
    assert b"no such &lt;total&gt;" in client.get(url()).content
    for name in ("preview-html", "preview-file"):
        assert client.get(url(name)).status_code == 422


def explode() -> None:
    """Raise what a method of a model may raise."""
    raise RuntimeError("no such <total>")


@pytest.mark.parametrize(
    "hook",
    ["get_name", "get_context", "get_options", "get_language", "render", "get_idempotency_key"],
)
def test_failing_hook_is_shown(client: Client, invoice: Invoice, hook: str) -> None:
    """Whatever a hook raises is shown with its line."""
    declare(**{hook: lambda self: explode()})
    page = body(client, url())
    assert "RuntimeError: no such <total>" in page
    assert "raise RuntimeError" in page
    assert client.get(url("preview-state")).status_code == 200


@pytest.mark.parametrize("hook", ["get_preview_sources", "get_preview_params"])
def test_failing_preview_hook_is_shown(client: Client, invoice: Invoice, hook: str) -> None:
    """So is what the hooks of previews raise."""
    declare(**{hook: classmethod(lambda cls, *args: explode())})
    assert "RuntimeError: no such <total>" in body(client, url())


def test_text_that_cannot_be_encoded_is_shown(client: Client, invoice: Invoice) -> None:
    """A lone surrogate in a document or in its error is no error of the server."""
    declare(render=lambda self: "<p>a\ud800b")
    assert client.get(url("preview-html")).status_code == 422
    for view in ("pdf", "html", "source"):
        assert client.get(url(view=view)).status_code == 200
    assert client.get(url("preview-state")).status_code == 200


def test_missing_template_says_where_it_was_looked_for(
    client: Client, invoice: Invoice, templates: Path
) -> None:
    """The paths that were tried are listed."""
    declare(template_name="none.html")
    page = body(client, url())
    assert "TemplateDoesNotExist: none.html" in page
    assert f"Not found: {templates / 'none.html'}" in page


def test_invalid_field_is_named(client: Client, invoice: Invoice) -> None:
    """What would be refused at enqueueing is shown with the name of its field."""
    declare(options={"strict": "yes"})
    assert "strict: strict must be" in body(client, url())


def test_empty_table_says_how_to_get_a_sample(client: Client) -> None:
    """Without an object, the page names the model and the hook."""
    declare()
    page = body(client, url())
    assert "needs an object of the model Invoice, and there is none yet" in page
    assert "Previewed.get_preview_sources()" in page
    assert "Generate a test document" not in page


def test_class_without_a_model_says_how_to_get_a_sample(client: Client) -> None:
    """A class that fails without an object, and declares no model, names the hook."""
    declare(model=None, get_name=lambda self: self.source.number)
    page = body(client, url())
    assert "AttributeError" in page
    assert "Previewed.get_preview_sources()" in page


def test_missing_parameter_says_how_to_give_one(client: Client, invoice: Invoice) -> None:
    """A class that fails without parameters names the hook for them."""
    declare(get_context=lambda self: {"day": self.params["day"]})
    page = body(client, url())
    assert "KeyError: 'day'" in page
    assert "Previewed.get_preview_params()" in page


def test_own_samples_need_not_be_saved(client: Client) -> None:
    """The hook may return objects that are in no table; str() of them may fail."""

    class Untitled(Invoice):
        class Meta:
            app_label = "shop"
            proxy = True

        def __str__(self) -> str:
            raise RuntimeError

    samples = [Invoice(number="B-1"), Untitled(number="B-2")]
    declare(
        get_preview_sources=classmethod(lambda cls: samples),
        get_name=lambda self: "invoice.pdf",
    )
    assert "Untitled" in body(client, url())
    assert "Invoice B-2" in body(client, url("preview-html", source="sample-2"))


def test_endless_samples_are_bounded(client: Client) -> None:
    """No more than twenty samples are read."""

    def endless() -> Iterator[Invoice]:
        while True:
            yield Invoice(number="C")

    declare(get_preview_sources=classmethod(lambda cls: endless()))
    page = body(client, url())
    assert "sample-20" in page
    assert "sample-21" not in page


def test_queryset_of_samples_is_bounded(client: Client) -> None:
    """A hook that returns all objects of a large table loads no more than are shown."""
    Invoice.objects.bulk_create(Invoice(number=f"D-{number}") for number in range(30))
    declare(get_preview_sources=classmethod(lambda cls: Invoice.objects.order_by("pk")))
    with CaptureQueriesContext(connection) as queries:
        page = body(client, url())
    assert "D-19" in page
    assert "D-20" not in page
    assert [query["sql"] for query in queries if "LIMIT 20" in query["sql"]]


def test_parameters_come_from_the_hook(client: Client, invoice: Invoice, templates: Path) -> None:
    """The parameters of a sample are those that its hook returns."""
    (templates / "invoice.html").write_text("{{ params.day }}")
    hook = classmethod(lambda cls, source: {"day": f"day of {source.number}"})
    declare(get_preview_params=hook)
    assert body(client, url("preview-html")) == "day of A-1"


class DayForm(forms.Form):
    """A form without a default."""

    day = forms.DateField()


def test_form_asks_for_parameters(client: Client, invoice: Invoice, templates: Path) -> None:
    """A document with a form is rendered once it is filled in; the values are as in the admin."""
    (templates / "invoice.html").write_text("{{ params.day }}")
    declare(form_class=DayForm)
    page = body(client, url())
    assert "This document asks for parameters" in page
    assert "Generate a test document" not in page
    assert client.get(url("preview-html")).status_code == 422
    assert "Enter a valid date" in body(client, url(**{"params-day": "never"}))
    day = {"params-day": date(2026, 1, 31).isoformat()}
    assert body(client, url("preview-html", **day)) == "2026-01-31"
    assert "params-day=2026-01-31" in body(client, url(**day, view="html"))


class TypeForm(forms.Form):
    """A form that a browser submits without an entry."""

    document_type = forms.ChoiceField(choices=[("pdf", "PDF"), ("xlsx", "Excel")])


def test_form_with_defaults_is_not_asked(client: Client, invoice: Invoice) -> None:
    """A form that is valid as it is shown needs no click."""
    declare(form_class=TypeForm)
    assert "Invoice A-1" in body(client, url("preview-html"))
    assert "Download as .xlsx" in body(client, url(**{"params-document_type": "xlsx"}))


# --- Kinds of documents ------------------------------------------------------------------------


def test_pdf_is_made_in_this_process(client: Client, invoice: Invoice, templates: Path) -> None:
    """The PDF has its pages, links to them, and its name."""
    declare()
    (templates / "invoice.html").write_text("<p>1<p style='break-before: page'>2")
    response = client.get(url("preview-file"))
    assert b"".join(response).startswith(b"%PDF-")
    assert response["Content-Disposition"].startswith("inline; filename=")
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    page = body(client, url())
    assert "2 pages" in page
    assert "page=2#page=2" in page


def test_pdf_loads_nothing(client: Client, invoice: Invoice, templates: Path) -> None:
    """The renderer reads no file of this machine, even if a template asks for it."""
    declare()
    secret = templates / "secret.txt"
    secret.write_text("secret")
    link = f"<link rel='attachment' href='{secret.as_uri()}'><p>x"
    (templates / "invoice.html").write_text(link)
    pdf = b"".join(client.get(url("preview-file")))
    assert PdfReader(BytesIO(pdf)).attachments == {}


@pytest.mark.parametrize("document_type", ["xlsx", "xls"])
def test_spreadsheet_can_be_downloaded(
    client: Client, invoice: Invoice, templates: Path, document_type: str
) -> None:
    """A spreadsheet is shown as HTML, and made as .xlsx, which the page says of .xls."""
    declare(document_type=document_type)
    (templates / "invoice.html").write_text("<table><tr><td>{{ source.number }}</table>")
    page = body(client, url())
    assert "Download as .xlsx" in page
    assert ("DocRaptor makes .xls" in page) == (document_type == "xls")
    response = client.get(url("preview-file"))
    assert b"".join(response).startswith(b"PK")
    assert "spreadsheetml" in response["Content-Type"]


def test_spreadsheet_without_a_table_is_refused(client: Client, invoice: Invoice) -> None:
    """What the sandbox cannot make is said in words."""
    declare(document_type="xlsx")
    response = client.get(url("preview-file"))
    assert response.status_code == 422
    assert b"no table found" in response.content


def test_report_shows_the_newest_rows(client: Client, templates: Path) -> None:
    """A report is previewed on the newest 50 rows."""
    (templates / "report.html").write_text("{% for row in rows %}{{ row.number }} {% endfor %}")
    declare(QuerysetDocument, template_name="report.html")
    Invoice.objects.bulk_create(Invoice(number=f"R-{number}") for number in range(60))
    numbers = body(client, url("preview-html")).split()
    assert numbers == [f"R-{number}" for number in range(59, 9, -1)]
    assert "50 invoices" in body(client, url())


def test_report_may_have_all_rows(client: Client, invoice: Invoice, templates: Path) -> None:
    """The hook of a report returns querysets, or None for all rows."""
    (templates / "report.html").write_text("{% for row in rows %}{{ row.number }} {% endfor %}")
    hook = classmethod(lambda cls: [None, Invoice.objects.none()])
    declare(QuerysetDocument, template_name="report.html", get_preview_sources=hook)
    assert body(client, url("preview-html")) == "A-1 "


def test_page_of_this_site_is_shown_as_its_user_sees_it(
    client: Client, invoice: Invoice, settings: Any
) -> None:
    """A document that is made of a page shows it with the session of the person who looks."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://shop.example"}
    declare(template_name="", get_url=lambda self: f"/invoices/{self.source.pk}/")
    assert f"redirects to {settings.LOGIN_URL}" in body(client, url())
    client.force_login(User.objects.create_user("ines"))
    html = body(client, url("preview-html"))
    assert f"<h1>ines {invoice.pk}</h1>" in html
    assert f'<base href="http://testserver/invoices/{invoice.pk}/">' in html
    assert "HTML" in body(client, url())
    assert client.get(url("preview-file")).status_code == 200


def test_page_sees_the_headers_of_the_browser(
    client: Client, invoice: Invoice, settings: Any
) -> None:
    """A page behind a proxy with TLS is not redirected, nor compressed, nor half of one."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_SCHEME", "https")
    settings.SECURE_SSL_REDIRECT = True
    settings.MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        *settings.MIDDLEWARE,
    ]
    declare(template_name="", get_url=lambda self: f"/invoices/{self.source.pk}/?x=%C3%A9")
    client.force_login(User.objects.create_user("ines"))
    headers = {"X-Scheme": "https", "Accept-Encoding": "gzip", "Range": "bytes=0-1"}
    response = client.get(url("preview-html"), headers=headers)
    assert response.status_code == 200
    assert f"ines {invoice.pk}" in gzip.decompress(response.content).decode()


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ("/json/", "is application/json instead of HTML"),
        ("/moved/", "redirects to /invoices/1/. "),
        ("/none/", "responds with status 404"),
        (f"/docraptor/previews/{LABEL}/", "responds with status 404"),
    ],
)
def test_response_that_is_not_a_page_is_named(
    client: Client, invoice: Invoice, settings: Any, page: str, problem: str
) -> None:
    """What is no page says why, even if it is the preview itself."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://shop.example"}
    declare(template_name="", get_url=lambda self: page)
    assert problem in body(client, url())


def test_page_without_a_public_address_is_a_problem(client: Client, invoice: Invoice) -> None:
    """What would be refused at enqueueing is listed as a problem."""
    declare(template_name="", get_url=lambda self: f"/invoices/{self.source.pk}/")
    client.force_login(User.objects.create_user("ines"))
    assert "Set DOCRAPTOR['CALLBACK_BASE_URL'] to it" in body(client, url())


def test_page_of_another_site_is_a_link(client: Client, invoice: Invoice) -> None:
    """A page of another site is not requested."""
    declare(template_name="", get_url=lambda self: "https://other.example/page")
    page = body(client, url())
    assert 'href="https://other.example/page"' in page
    assert client.get(url("preview-html")).status_code == 422


# --- Reload on change --------------------------------------------------------------------------


def test_state_tells_of_a_change(client: Client, invoice: Invoice, templates: Path) -> None:
    """An unchanged document is 304; another output or another template file is not."""
    declare()
    first = client.get(url("preview-state"))
    headers = {"If-None-Match": first["ETag"]}
    assert client.get(url("preview-state"), headers=headers).status_code == 304
    Invoice.objects.update(number="A-2")
    second = client.get(url("preview-state"), headers=headers)
    assert second.status_code == 200
    assert second.json()["templates"] == first.json()["templates"]
    (templates / "invoice.html").write_text("<h1>Invoice {{ source.number }}</h1>{# later #}")
    third = client.get(url("preview-state"), headers={"If-None-Match": second["ETag"]})
    assert third.json()["output"] == second.json()["output"]
    assert third.json()["templates"] != second.json()["templates"]


def test_page_has_the_digests_of_its_state(client: Client, invoice: Invoice) -> None:
    """The page knows what it shows, so that the first request sees what has changed since."""
    declare()
    page = body(client, url())
    for digest in client.get(url("preview-state")).json().values():
        assert digest in page


# --- Test documents ----------------------------------------------------------------------------


@pytest.fixture
def billed_by_default(settings: Any, sandbox: Sandbox) -> Sandbox:
    """A sandbox, and settings that ask for billed documents."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TEST_MODE": False}
    return sandbox


def test_test_document_is_free(
    client: Client, invoice: Invoice, billed_by_default: Sandbox
) -> None:
    """A POST returns a test document, whatever the settings and the class say; there is no job."""
    declare(test=False, hosted=True)
    response = client.post(url("preview-test-document"))
    assert b"".join(response).startswith(b"%PDF-")
    (entry,) = billed_by_default.ledger.entries
    assert (entry.test, entry.hosted, entry.billed) == (True, False, False)
    assert not RenderJob.objects.exists()


def test_page_is_made_into_a_test_document(
    client: Client, invoice: Invoice, settings: Any, billed_by_default: Sandbox
) -> None:
    """A page needs no signed URL: DocRaptor gets the HTML that the preview shows."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://shop.example"}
    declare(template_name="", get_url=lambda self: f"/invoices/{self.source.pk}/")
    client.force_login(User.objects.create_user("ines"))
    response = client.post(url("preview-test-document"))
    assert b"".join(response).startswith(b"%PDF-")


def test_test_document_needs_the_token(invoice: Invoice, billed_by_default: Sandbox) -> None:
    """Another site cannot make the browser generate one."""
    declare()
    client = Client(enforce_csrf_checks=True)
    assert client.post(url("preview-test-document")).status_code == 403
    assert client.get(url("preview-test-document")).status_code == 405
    assert billed_by_default.ledger.entries == ()


def test_one_test_document_at_a_time(client: Client, invoice: Invoice, sandbox: Sandbox) -> None:
    """While one is being generated, another is refused, and nothing is sent for it."""
    others: list[Any] = []

    def get_secret_options(self: Any) -> dict[str, Any]:  # called for a document that is sent
        others.append(Client().post(url("preview-test-document")))
        return {}

    declare(get_secret_options=get_secret_options)
    response = client.post(url("preview-test-document"))
    assert response.status_code == 200
    assert response.getvalue().startswith(b"%PDF-")
    assert [(other.status_code, other["Retry-After"]) for other in others] == [(409, "10")]
    assert len(sandbox.ledger.entries) == 1
    response = client.post(url("preview-test-document"))
    assert response.status_code == 200
    assert response.getvalue().startswith(b"%PDF-")


def test_refused_test_document_is_explained(
    client: Client, invoice: Invoice, sandbox: Sandbox
) -> None:
    """DocRaptor's refusal is on the page, with its reason."""
    declare()
    sandbox.add_fault(Fault(on="render", action="fail", reason="Prince: no such image"))
    response = client.post(url("preview-test-document"))
    assert response.status_code == 502
    assert "Prince: no such image" in unescape(response.content.decode())


def test_document_that_cannot_be_rendered_is_not_sent(
    client: Client, invoice: Invoice, sandbox: Sandbox
) -> None:
    """A failing hook is shown, and nothing is sent."""
    declare(get_context=lambda self: explode())
    response = client.post(url("preview-test-document"))
    assert response.status_code == 422
    assert "RuntimeError" in response.content.decode()
    assert not sandbox.calls
