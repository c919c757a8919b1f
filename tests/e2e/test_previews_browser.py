"""Previews in a real browser: reload on change, without JavaScript, on narrow and dark screens.

With ``DOCRAPTOR_SCREENSHOTS=docs/images``, the documentation's screenshot is made anew.
"""

import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from django_docraptor.documents import Document
from django_docraptor.models import RenderJob
from tests.apps.shop.models import Invoice

pytestmark = [pytest.mark.services("chromium"), pytest.mark.django_db(transaction=True)]

EXAMPLE = Path(__file__).parents[2] / "example_project" / "shop"
SCREENSHOTS = os.environ.get("DOCRAPTOR_SCREENSHOTS", "")


@pytest.fixture(autouse=True)
def template(settings: Any, tmp_path: Path) -> Path:
    """The template of a document of a developer's site."""
    folders = [tmp_path, EXAMPLE / "templates"]
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": folders}]
    settings.STATICFILES_DIRS = [EXAMPLE / "static"]
    settings.DEBUG = True
    path = tmp_path / "invoice.html"
    path.write_text("<h1>Invoice {{ source.number }}</h1>")
    return path


@pytest.fixture
def address(live_server: Any) -> str:
    """The URL of the preview of an invoice."""
    Invoice.objects.create(number="A-1")
    values = {"model": Invoice, "template_name": "invoice.html", "__module__": "tests"}
    label = type("InvoicePDF", (Document,), values).label
    return live_server.url + reverse("django_docraptor:preview", args=[label]) + "?view=html"


def open_page(browser: Browser, url: str, **options: Any) -> Page:
    """Return a page of a new context."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    page.goto(url)
    return page


def test_preview_reloads_when_its_template_changes(
    browser: Browser, address: str, template: Path
) -> None:
    """A change, a problem, an error and its correction are shown without a click or a job."""
    page = open_page(browser, address)
    heading = page.frame_locator("iframe").locator("h1")
    expect(heading).to_have_text("Invoice A-1")

    template.write_text("<h1>Bill {{ source.number }}</h1><img src='logo.png'>")
    expect(heading).to_have_text("Bill A-1")
    expect(page.get_by_text("is not an absolute URL")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Reloaded at")

    template.write_text("<h1>\n{% bill %}")
    expect(page.get_by_text("Invalid block tag on line 2: 'bill'").first).to_be_visible()
    expect(page.get_by_text(f"{template}:2")).to_be_visible()

    template.write_text("<h1>Letter {{ source.number }}</h1>")
    expect(heading).to_have_text("Letter A-1")
    expect(page.get_by_text("The preflight has found none.")).to_be_visible()
    assert not RenderJob.objects.exists()


def test_reload_can_be_paused(browser: Browser, address: str, template: Path) -> None:
    """While the box is not checked, the page asks for nothing; then it goes on."""
    page = open_page(browser, address)
    page.get_by_label("Reload on change").uncheck()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    template.write_text("<h1>Bill {{ source.number }}</h1>")
    page.wait_for_timeout(2_500)
    assert [url for url in asked if "/state/" in url] == []
    page.get_by_label("Reload on change").check()
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("Bill A-1")


def test_document_that_always_differs_is_not_reloaded_for_ever(
    browser: Browser, address: str, template: Path
) -> None:
    """A document with the current time is reloaded when its template changes."""
    template.write_text("<h1>{% now 'u' %}</h1>")
    page = open_page(browser, address)
    expect(page.get_by_text("This document differs each time it is rendered")).to_be_visible()
    template.write_text("<h1>Bill</h1>")
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("Bill")


def test_preview_works_without_javascript(browser: Browser, address: str, template: Path) -> None:
    """A link reloads it, and no control is shown that does nothing."""
    page = open_page(browser, address, java_script_enabled=False)
    expect(page.get_by_label("Reload on change")).to_be_hidden()
    template.write_text("<h1>Bill {{ source.number }}</h1>")
    page.get_by_role("link", name="Reload").click()
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("Bill A-1")


def test_document_runs_no_script(browser: Browser, address: str, template: Path) -> None:
    """A script of a document, and what it would ask of another site, does nothing."""
    other = address.partition("/docraptor")[0].replace("localhost", "127.0.0.1")
    template.write_text(
        "<h1>A</h1><script>document.querySelector('h1').textContent = 'B'</script>"
        f"<img src='{other}/static/django_docraptor/previews.svg'>"
    )
    page = browser.new_context().new_page()
    answered: list[str] = []
    page.on("response", lambda response: answered.append(response.url))
    page.goto(address)
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("A")
    assert [url for url in answered if url.startswith(other)] == []

    # The same page with the other site's files, which shows that they could have been loaded.
    with page.expect_response(lambda response: response.url.startswith(other)):
        page.get_by_role("link", name="Load them").click()
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("A")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_break_no_policy(
    browser: Browser, address: str, template: Path, width: int, scheme: Any
) -> None:
    """No page scrolls sideways, nor reports an error; the first key press reaches the skip link."""
    template.write_text(f"<p>\n<img alt='{'x' * 300}' src='{'y' * 200}.png'>")
    size: Any = {"width": width, "height": 800}
    page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    for url in (address, address.replace("html", "source"), address.rpartition("tests.")[0]):
        page.goto(url)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the document")).to_be_focused()
    # The image that the document's frame does not find is no error of the page.
    assert [error for error in errors if "Failed to load resource" not in error] == []


def test_screenshot(
    browser: Browser,
    live_server: Any,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The example project's invoice, with a stamp whose URL is relative."""
    names = ["Laid paper, ivory, ream of 500", "Fountain pen ink, iron gall", "Notebook, dotted"]
    prices = [Decimal("18.40"), Decimal("9.95"), Decimal("14.50")]
    lines = [
        SimpleNamespace(description=name, quantity=2, unit_price=price, vat_rate=20, net=2 * price)
        for name, price in zip(names, prices, strict=True)
    ]

    class Sample(SimpleNamespace):
        def __str__(self) -> str:
            return f"Invoice {self.number}"

    samples = [
        Sample(
            number=f"2026-000{number}",
            address="Ines Okafor\n3 Tanner's Yard\nYork YO1 7HU",
            customer_id=2,
            issued_on=date(2026, 3, 2),
            due=date(2026, 4, 1),
            lines=SimpleNamespace(all=lines),
            net=Decimal("85.70"),
            vat=Decimal("17.14"),
            total=Decimal("102.84"),
        )
        for number in (3, 2, 1)
    ]
    folder = Path(SCREENSHOTS or tmp_path).resolve()
    template = tmp_path / "shop" / "templates" / "shop" / "invoice.html"
    template.parent.mkdir(parents=True)
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [template.parents[1], EXAMPLE / "templates"]}]
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": "http://127.0.0.1:8001"}
    monkeypatch.chdir(tmp_path)  # so that no path of this machine is shown
    text = (EXAMPLE / "templates" / "shop" / "invoice.html").read_text()
    heading = "<h1>{{ source }}</h1>"
    template.write_text(text.replace(heading, f'{heading}\n  <img src="paid.png" alt="Paid">'))
    values = {
        "template_name": "shop/invoice.html",
        "__module__": "shop",
        "get_preview_sources": classmethod(lambda cls: samples),
        "get_name": lambda self: f"invoice-{self.source.number}.pdf",
        "language": "en-gb",
    }
    label = type("InvoicePDF", (Document,), values).label
    url = live_server.url + reverse("django_docraptor:preview", args=[label])
    page = open_page(browser, f"{url}?view=html", viewport={"width": 1280, "height": 860})
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("Invoice 2026-0003")
    page.screenshot(path=folder / "preview.png")
