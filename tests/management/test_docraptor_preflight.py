"""``manage.py docraptor_preflight``: what would fail, told with its template's line."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_docraptor import registry
from django_docraptor.documents import Document
from django_docraptor.models import RenderJob
from django_docraptor.preflight import find_problems
from django_docraptor.preflight.locations import find_locations
from django_docraptor.sandbox import Sandbox
from tests.apps.shop.models import Invoice

pytestmark = pytest.mark.django_db

GOOD = "<h1>{{ source.number }}</h1>"
PARTS = {
    "good.html": GOOD,
    "base.html": "<html>\n<body>\n{% block main %}{% endblock %}\n</body></html>",
    "head.html": "<p>Us</p>\n<img alt='a &amp; b' src='/logo.png?a=1&amp;b=2'>",
    "bad.html": (
        "{% extends 'base.html' %}\n{% block main %}\n{% include 'head.html' %}\n"
        '<p>{{ source.number }}</p>\n<div style="background: url(bg.png)"></div>\n'
        "<img src='{{ source.number }}.png'>\n{% endblock %}"
    ),
    "unclosed.html": "<h1>{{ source.number }}</h1>\n<div><b>x</div>",
    "warned.html": "<p>\n<img src='https://shop.example/static/none.png'></p>",
    "raises.html": "<p>\n{{ source.number }}\n{{ source.nothing.at_all|add:source.explode }}</p>",
    "asset.html": "{% load docraptor %}\n<p>\n<img src=\"{% docraptor_asset 'none.png' %}\"></p>",
}


@pytest.fixture(autouse=True)
def _templates(settings: Any, tmp_path: Path) -> None:
    for name, text in PARTS.items():
        (tmp_path / name).write_text(text)
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path]}]
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ASSETS_BASE_URL": "https://shop.example"}


@pytest.fixture
def declare() -> Iterator[Any]:
    """Make a document of a template; it is forgotten after the test."""
    labels = []

    def make(template: str, **attributes: Any) -> str:
        body = {"model": Invoice, "template_name": template, **attributes}
        label: str = type("Checked", (Document,), body).label
        labels.append(label)
        return label

    yield make
    for label in labels:
        registry.unregister(label)


def preflight(*arguments: Any) -> str:
    """Run the command; return what it printed."""
    out = StringIO()
    call_command("docraptor_preflight", *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue()


def failing(*arguments: Any, failed: str) -> str:
    """Run the command, which must fail with that sentence; return what it printed."""
    out = StringIO()
    with pytest.raises(CommandError, match=failed):
        call_command("docraptor_preflight", *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue()


def invoices(*numbers: str) -> list[int]:
    """Keys of invoices with these numbers."""
    return [Invoice.objects.create(number=number).pk for number in numbers]


def test_good(declare: Any, sandbox: Sandbox) -> None:
    """Nothing found: said so; nothing is stored, nothing is sent."""
    told = preflight(declare("good.html"), *invoices("1", "2"))
    assert told == "2 documents checked: no problems found.\n"
    assert not RenderJob.objects.exists()
    assert not sandbox.ledger.entries


def test_names_file_and_line(declare: Any, tmp_path: Path) -> None:
    """Of the template, the included and the extended one in which the address was written."""
    told = failing(declare("bad.html"), *invoices("7"), failed="1 of 1 documents would fail")
    first, second, third = told.splitlines()
    assert first.startswith(f"{tmp_path / 'head.html'}:2: error: Line 5 of the content rendered")
    assert second.startswith(f"{tmp_path / 'bad.html'}:5: error: ")
    # What a variable has brought is in the template, at a line that nobody knows.
    assert third.startswith(f"{tmp_path / 'bad.html'}: error: Line 8 of the content")


def test_tells_the_same_once(declare: Any) -> None:
    """A mistake of the template is one line, with the objects in which it was found."""
    keys = invoices(*"1234567")
    first = failing(declare("bad.html"), *keys, failed="7 of 7").splitlines()[0]
    assert first.endswith(f"({', '.join(map(str, keys[:5]))} and 2 more)")


def test_private_hosts_fail_beside_the_sandbox(declare: Any, sandbox: Sandbox) -> None:
    """The sandbox reaches this machine; the real service does not."""
    label = declare("good.html", render=lambda self: "<img src='http://localhost/a.png'>")
    assert "localhost, which DocRaptor cannot reach" in failing(
        label, *invoices("1"), failed="1 of"
    )


def test_warnings_do_not_fail(declare: Any) -> None:
    """They are told; only --strict fails for them."""
    label, keys = declare("warned.html"), invoices("1")
    assert "warned.html:2: warning: " in preflight(label, *keys)
    assert "static file 'none.png'" in failing(label, *keys, "--strict", failed="1 of 1")


def test_strict_looks_for_unclosed_tags(declare: Any) -> None:
    """As DocRaptor does for strict "html"."""
    label, keys = declare("unclosed.html"), invoices("1")
    assert "no problems found" in preflight(label, *keys)
    told = failing(label, *keys, "--strict", failed="1 of 1")
    assert "unclosed.html:2: error: " in told
    assert "<b> is not closed before </div>" in told


def test_asset(declare: Any) -> None:
    """A missing asset is told with the place of its tag."""
    told = failing(declare("asset.html"), *invoices("1"), failed="1 of 1")
    assert "asset.html:3: error: " in told
    assert "static file 'none.png' does not exist" in told


def test_template_that_raises(declare: Any) -> None:
    """Whatever the project's code raises is a finding of that object; the others are looked at."""

    def context(self: Any) -> dict[str, Any]:
        return {"rate": 1 / int(self.source.number)}

    label = declare("good.html", get_context=context)
    zero, _one = invoices("0", "1")
    told = failing(label, "--all", failed="1 of 2 documents would fail")
    assert f"good.html: error: ZeroDivisionError: division by zero ({zero})" in told


def test_wrong_option(declare: Any) -> None:
    """An option that DocRaptor refuses is found, too."""
    label = declare("good.html", options={"prince_options": {"key_bits": 7}})
    assert "key_bits" in failing(label, *invoices("1"), failed="1 of 1")


def test_params(declare: Any) -> None:
    """What a form would have asked can be said."""
    label = declare("good.html", get_context=lambda self: {"day": self.params["pay_by"]})
    (key,) = invoices("1")
    assert "KeyError: 'pay_by'" in failing(label, key, failed="1 of 1")
    assert "no problems found" in preflight(label, key, "--params", '{"pay_by": "2026-01-31"}')


def test_paths_from_here(declare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file below the present directory is told as it is named there."""
    monkeypatch.chdir(tmp_path)
    told = failing(declare("bad.html"), *invoices("1"), failed="1 of 1")
    assert told.startswith("head.html:2: error: ")


def test_too_large(declare: Any, settings: Any) -> None:
    """The size that may be sent is a rule as any other."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_CONTENT_BYTES": 5}
    told = failing(declare("good.html"), *invoices("1"), failed="1 of 1")
    assert "good.html: error: content has" in told


def test_all_and_limit(declare: Any) -> None:
    """All objects, or the newest of them."""
    invoices(*"12345")
    label = declare("good.html")
    assert preflight(label, "--all").startswith("5 documents")
    keys = Invoice.objects.order_by("-pk").values_list("pk", flat=True)
    found = json.loads(
        failing(declare("bad.html"), "--all", "--limit", 2, "--json", failed="2 of 2")
    )
    assert {one["source"] for one in found["findings"]} == {str(key) for key in keys[:2]}


def test_report() -> None:
    """A report is made once, over all of its rows."""
    keys = invoices("1", "2", "3")
    assert preflight("shop.InvoiceList", "--all", "--limit", 2).startswith("1 document checked:")
    assert preflight("shop.InvoiceList", *keys).startswith("1 document checked:")


def test_json(declare: Any, tmp_path: Path) -> None:
    """For machines: severity, find_locations, and the line of the HTML."""
    (key,) = invoices("7")
    found = json.loads(failing(declare("bad.html"), key, "--json", failed="1 of 1"))
    assert (found["checked"], len(found["findings"])) == (1, 3)
    first = found["findings"][0]
    assert first.pop("message").startswith("Line 5 of the content")
    assert first == {
        "source": str(key),
        "severity": "error",
        "rendered_line": 5,
        "locations": [{"file": str(tmp_path / "head.html"), "line": 2}],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop.InvoicePDF"], "needs at least one primary key"),
        (["shop.InvoicePDF", "1", "--all"], "Give either primary keys or --all"),
        (["shop.InvoicePDF", "1", "--limit", "2"], "Give either primary keys or --all"),
        (["shop.InvoicePDF", "--all", "--limit", "0"], "--limit must be at least 1"),
        (["shop.InvoicePFD", "--all"], "Did you mean shop.InvoicePDF"),
        (["shop.InvoicePDF", "404"], "No shop.Invoice with primary key 404"),
        (["shop.InvoicePDF", "--all", "--params", "{"], "--params is not valid JSON: "),
        (["shop.InvoicePDF", "--all", "--params", "[7]"], "--params must be a JSON object"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str) -> None:
    """Each is an error that names what is wrong."""
    failing(*arguments, failed=said)


def test_place_of_a_short_address() -> None:
    """An address is found as a whole, not as a part of another."""
    (problem,) = find_problems("<img src='go.png'>")
    assert find_locations("head.html", problem) == []
