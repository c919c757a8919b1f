"""The template tags: output, errors, and a whole document that uses them."""

import io
import re
from pathlib import Path
from typing import Any

import pypdf
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.core.management import call_command
from django.template import Context, Engine, TemplateSyntaxError
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from django_docraptor.assets import AssetError
from django_docraptor.documents import Document
from django_docraptor.lifecycle.composition import compose_request
from django_docraptor.models import RenderJob
from django_docraptor.preflight import find_problems, loading
from django_docraptor.preflight.resources import Resource, visit_resources
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.assets import MANIFEST, Stored, data_uri, png_image
from tests.support.jobs import read_file, run_until_finished
from tests.support.sandbox_client import wait_until

PAGE = """{% extends "base.html" %}{% load docraptor %}
{% block body %}
<img src="{% docraptor_asset "shop/logo.png" %}">
<img src="{% docraptor_image stamp %}">
{% include "total.html" %}
{% endblock %}
"""
BASE = """{% load docraptor %}<!DOCTYPE html>
<html><head><title>x</title>{% docraptor_css "shop/print.css" %}</head>
<body>{% block body %}{% endblock %}</body></html>
"""


@pytest.fixture
def static_dir(settings: Any, tmp_path: Path) -> Path:
    """A directory of static files with the shop's logo."""
    source = tmp_path / "source"
    (source / "shop").mkdir(parents=True)
    (source / "shop" / "logo.png").write_bytes(png_image())
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = str(tmp_path / "collected")
    return source


def render(text: str, *, autoescape: bool = True, **context: Any) -> str:
    """Render the text as a template with the tags; it may include other templates."""
    others = {
        "logo.html": '{% load docraptor %}{% docraptor_asset "shop/logo.png" %}',
        "a.html": text,
    }
    loaders = [("django.template.loaders.locmem.Loader", others)]
    engine = Engine(
        loaders=loaders, libraries={"docraptor": "django_docraptor.templatetags.docraptor"}
    )
    return engine.get_template("a.html").render(Context(context, autoescape=autoescape))


def test_asset_tag_takes_a_literal_a_variable_or_a_filter(static_dir: Path) -> None:
    """The argument may be a literal, a variable or an expression with a filter."""
    expected = data_uri("image/png", png_image())
    assert render('{% load docraptor %}{% docraptor_asset "shop/logo.png" %}') == expected
    assert render("{% load docraptor %}{% docraptor_asset a %}", a="shop/logo.png") == expected
    text = "{% load docraptor %}{% docraptor_asset a|lower %}"
    assert render(text, a="SHOP/logo.png") == expected


def test_asset_tag_may_store_its_result(static_dir: Path) -> None:
    """With ``as`` the URL is stored in a variable, and nothing is written."""
    text = '{% load docraptor %}{% docraptor_asset "shop/logo.png" as x %}|{{ x|slice:":10" }}'
    assert render(text) == "|data:image"


def test_css_tag_writes_an_unescaped_element(static_dir: Path) -> None:
    """The element is not escaped."""
    (static_dir / "a.css").write_text("p > a { color: red }")
    text = '{% load docraptor %}{% docraptor_css "a.css" %}'
    assert render(text) == "<style>\np > a { color: red }\n</style>"


def test_image_tag_takes_a_field() -> None:
    """The argument may be a field of an object."""
    storage = InMemoryStorage()
    storage.save("a.png", ContentFile(png_image()))
    text = "{% load docraptor %}{% docraptor_image invoice.logo %}"
    assert render(text, invoice={"logo": Stored("a.png", storage)}) == data_uri(
        "image/png", png_image()
    )


def test_absolute_url_is_escaped(settings: Any) -> None:
    """A storage's URL is escaped, since it is written into an attribute."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ASSETS": "absolute"}
    file = Stored("a.png", SignedStorage())
    text = "{% load docraptor %}{% docraptor_image file %}"
    assert render(text, file=file) == "https://b.example/a.png?a=1&amp;b=&quot;"
    assert render(text, autoescape=False, file=file) == 'https://b.example/a.png?a=1&b="'


class SignedStorage(InMemoryStorage):
    """A storage whose URLs have a query."""

    def url(self, name: str | None) -> str:
        return f'https://b.example/{name}?a=1&b="'


@pytest.mark.parametrize(
    "tag",
    ["docraptor_asset", 'docraptor_css "a" "b"', "docraptor_image a as", "docraptor_css a as b c"],
)
def test_invalid_arguments_raise_when_parsing(tag: str) -> None:
    """A mistake in the tag raises when the template is parsed."""
    with pytest.raises(TemplateSyntaxError, match="takes one argument"):
        render(f"{{% load docraptor %}}{{% {tag} %}}")


def test_error_has_tag_template_line_and_remedy(static_dir: Path) -> None:
    """The error has the tag, its argument, the template and line, the cause and the remedy."""
    with pytest.raises(AssetError) as caught:
        render('{% load docraptor %}\n\n{% docraptor_asset "no.png" %}')
    assert str(caught.value) == (
        "{% docraptor_asset \"no.png\" %} in a.html, line 3: static file 'no.png' does "
        "not exist: fix the path, or run collectstatic."
    )


def test_unknown_variable_is_an_error() -> None:
    """An unknown variable is an error, unlike elsewhere in Django's templates."""
    with pytest.raises(AssetError, match=r"docraptor_image invoice.logo.* the field has no file"):
        render("{% load docraptor %}{% docraptor_image invoice.logo %}")


@pytest.mark.parametrize("include", ['{% include "logo.html" %}', '{% include "logo.html" only %}'])
def test_included_templates_share_a_budget(static_dir: Path, settings: Any, include: str) -> None:
    """Included templates share a budget, and the next rendering has a new one."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_ASSETS_BYTES": 2048}
    text = '{% load docraptor %}{% docraptor_asset "shop/logo.png" %}'
    assert render(f"{text}{include}")
    assert render(f"{text}{include}")
    with pytest.raises(AssetError, match="MAX_ASSETS_BYTES"):
        render(f"{text}{include}{include}")


# A whole document.


def make_font() -> bytes:
    """Return a font that exists only in this test."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((0, 500))
    pen.lineTo((500, 0))
    pen.closePath()
    glyph = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "A"])
    builder.setupCharacterMap({65: "A"})
    builder.setupGlyf({".notdef": glyph, "A": glyph})
    builder.setupHorizontalMetrics({".notdef": (600, 0), "A": (600, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Shopfont", "styleName": "Regular", "psName": "Shopfont"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    file = io.BytesIO()
    builder.save(file)
    return file.getvalue()


@pytest.fixture
def page_document(settings: Any, static_dir: Path) -> type[Document[Any]]:
    """A document with hashed static files, relative URLs in CSS, a font and a private image."""
    (static_dir / "shop" / "fonts").mkdir()
    (static_dir / "shop" / "fonts" / "shop.ttf").write_bytes(make_font())
    (static_dir / "shop" / "type.css").write_text(
        "@font-face { font-family: Shopfont; src: url('fonts/shop.ttf') }"
        "h1 { font-family: Shopfont }"
    )
    (static_dir / "shop" / "print.css").write_text(
        "@import url(type.css);\nbody { background: url(logo.png) }"
    )
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": MANIFEST}}
    call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=["admin"])
    settings.STATICFILES_DIRS = []
    settings.TEMPLATES = [make_templates()]
    media = InMemoryStorage()
    media.save("stamp", ContentFile(png_image()))

    class Page(Document[Any]):
        """Registered during the test."""

        template_name = "page.html"
        options = {"ignore_resource_errors": False, "strict": "html"}

        def get_context(self) -> dict[str, Any]:
            return {"stamp": Stored("stamp", media)}

    return Page


def make_templates() -> dict[str, Any]:
    """Return TEMPLATES with those of the document."""
    files = {"page.html": PAGE, "base.html": BASE, "total.html": "<h1>AAA</h1>"}
    loaders = [("django.template.loaders.locmem.Loader", files)]
    backend = "django.template.backends.django.DjangoTemplates"
    return {"BACKEND": backend, "OPTIONS": {"loaders": loaders}}


@pytest.mark.django_db
def test_document_embeds_all_of_its_assets(
    page_document: type[Document[Any]], sandbox: Sandbox, documents_dir: Path
) -> None:
    """Hashed static files, private images, CSS URLs and fonts are all in the HTML.

    With ignore_resource_errors off, WeasyPrint's first fetch of anything else would fail the job.
    """
    sandbox.change_settings(renderer="weasyprint")
    job = page_document.enqueue(name="page.pdf")
    html = compose_request(job).content
    found: list[Resource] = []
    visit_resources(html, found.append, loading.Engine())
    assert [resource.url.partition(",")[0] for resource in found] == [
        "data:font/ttf;base64",
        "data:image/png;base64",
        "data:image/png;base64",
        "data:image/png;base64",
    ]
    assert "http" not in re.sub(r"base64,[\w+/=]*", "", html)
    assert find_problems(html, strict="html", allow_private=False) == []
    run_until_finished(job, until=lambda job: job.state == State.QUEUED)
    wait_until(lambda: sandbox.ledger.entries[0].finished_at, seconds=60)
    job = run_until_finished(job)
    assert (job.state, job.errors) == (State.COMPLETED, "")
    assert_has_image_and_font(job)


def assert_has_image_and_font(job: RenderJob) -> None:
    """Check the images and fonts in the stored PDF."""
    (sheet,) = pypdf.PdfReader(io.BytesIO(read_file(job))).pages
    assert [image.image.size for image in sheet.images][:1] == [(1, 1)]
    fonts = [entry.get_object() for entry in sheet["/Resources"]["/Font"].values()]
    (own,) = [entry for entry in fonts if "Shopfont" in entry["/BaseFont"]]
    descriptor = own["/DescendantFonts"][0].get_object()["/FontDescriptor"]
    assert any(key.startswith("/FontFile") for key in descriptor)


@pytest.mark.django_db
def test_missing_asset_fails_the_job_before_sending(
    page_document: type[Document[Any]], sandbox: Sandbox, settings: Any
) -> None:
    """The job fails before anything is sent, and its error has the asset, template and remedy."""
    for file in Path(settings.STATIC_ROOT).glob("shop/logo*.png"):
        file.unlink()
    job = run_until_finished(page_document.enqueue(name="page.pdf"))
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    assert '{% docraptor_css "shop/print.css" %} in base.html, line 2: in ' in job.errors
    assert job.errors.strip().endswith("fix the path, or run collectstatic.")
    assert job.errors.startswith("{% docraptor_css")
    assert sandbox.ledger.create_calls == 0


@pytest.mark.django_db
def test_relative_url_fails_the_job_with_the_template(
    page_document: type[Document[Any]], sandbox: Sandbox, settings: Any
) -> None:
    """The error of a relative URL names the template, and nothing is sent."""
    loaders = [("django.template.loaders.locmem.Loader", {"page.html": '\n<img src="a.png">'})]
    settings.TEMPLATES = [make_templates() | {"OPTIONS": {"loaders": loaders}}]
    job = run_until_finished(page_document.enqueue(name="page.pdf"))
    assert (job.state, job.error_code) == (State.FAILED, "invalid_request")
    assert job.errors.startswith("content: Line 2 of the content rendered from page.html: <img")
    assert sandbox.ledger.create_calls == 0
