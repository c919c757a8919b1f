"""`manage.py docraptor_preflight` reports problems with their template and line."""

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
    "typo.html": "{{ object.number }}\n{{ invoice.numbr }} {{ source.number }}",
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
def declare_document() -> Iterator[Any]:
    """Return a function that declares a document with a template."""
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
    """Run the command and return its output."""
    out = StringIO()
    call_command("docraptor_preflight", *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue()


def failing_preflight(*arguments: Any, failed: str) -> str:
    """Run the command, which must fail with that message; return its output."""
    out = StringIO()
    with pytest.raises(CommandError, match=failed):
        call_command("docraptor_preflight", *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue()


def create_invoices(*numbers: str) -> list[int]:
    """Create invoices with these numbers; return their primary keys."""
    return [Invoice.objects.create(number=number).pk for number in numbers]


def test_good_document_has_no_problem(declare_document: Any, sandbox: Sandbox) -> None:
    """A good document is reported as such; nothing is stored and nothing is sent."""
    told = preflight(declare_document("good.html"), *create_invoices("1", "2"))
    assert told == "2 documents checked: no problems found.\n"
    assert not RenderJob.objects.exists()
    assert not sandbox.ledger.entries


def test_problem_has_file_and_line(declare_document: Any, tmp_path: Path) -> None:
    """The location may be in the template, an included one or an extended one."""
    told = failing_preflight(
        declare_document("bad.html"), *create_invoices("7"), failed="1 of 1 documents would fail"
    )
    first, second, third = told.splitlines()
    assert first.startswith(f"{tmp_path / 'head.html'}:2: error: Line 5 of the content rendered")
    assert second.startswith(f"{tmp_path / 'bad.html'}:5: error: ")
    # The value of a variable is located in the template, without a line.
    assert third.startswith(f"{tmp_path / 'bad.html'}: error: Line 8 of the content")


def test_same_problem_is_reported_once(declare_document: Any) -> None:
    """A problem of the template is one line, with the objects in which it was found."""
    keys = create_invoices(*"1234567")
    first = failing_preflight(declare_document("bad.html"), *keys, failed="7 of 7").splitlines()[0]
    assert first.endswith(f"({', '.join(map(str, keys[:5]))} and 2 more)")


def test_private_host_fails_even_with_the_sandbox(declare_document: Any, sandbox: Sandbox) -> None:
    """The sandbox can reach this machine, but the real service cannot."""
    label = declare_document("good.html", render=lambda self: "<img src='http://localhost/a.png'>")
    assert "localhost, which DocRaptor cannot reach" in failing_preflight(
        label, *create_invoices("1"), failed="1 of"
    )


def test_undefined_variables_are_warnings(declare_document: Any, tmp_path: Path) -> None:
    """Each has its template, its line and the nearest name, and the rule can be turned off."""
    keys = create_invoices("1")
    told = preflight(declare_document("typo.html"), *keys)
    assert told.splitlines() == [
        f"{tmp_path / 'typo.html'}:2: warning: {{{{ invoice.numbr }}}} is undefined: Invoice has "
        f"no 'numbr'. Did you mean number? (undefined-variable) ({keys[0]})"
    ]
    ignoring = declare_document("typo.html", preflight_ignore={"undefined-variable"})
    assert "no problems found" in preflight(ignoring, *keys)


def test_warning_fails_only_if_strict(declare_document: Any) -> None:
    """Warnings are reported, and only `--strict` fails because of them."""
    label, keys = declare_document("warned.html"), create_invoices("1")
    assert "warned.html:2: warning: " in preflight(label, *keys)
    assert "static file 'none.png'" in failing_preflight(label, *keys, "--strict", failed="1 of 1")


def test_strict_reports_unclosed_tags(declare_document: Any) -> None:
    """`--strict` checks the markup as DocRaptor does for strict "html"."""
    label, keys = declare_document("unclosed.html"), create_invoices("1")
    assert "no problems found" in preflight(label, *keys)
    told = failing_preflight(label, *keys, "--strict", failed="1 of 1")
    assert "unclosed.html:2: error: " in told
    assert "<b> is not closed before </div>" in told


def test_missing_asset_is_reported_with_its_tag(declare_document: Any) -> None:
    """A missing asset is reported with the location of its tag."""
    told = failing_preflight(declare_document("asset.html"), *create_invoices("1"), failed="1 of 1")
    assert "asset.html:3: error: " in told
    assert "static file 'none.png' does not exist" in told


def test_template_error_is_a_problem_of_its_object(declare_document: Any) -> None:
    """An error of the project's code is a problem of that object, and the others are checked."""

    def context(self: Any) -> dict[str, Any]:
        return {"rate": 1 / int(self.source.number)}

    label = declare_document("good.html", get_context=context)
    zero, _one = create_invoices("0", "1")
    told = failing_preflight(label, "--all", failed="1 of 2 documents would fail")
    assert f"good.html: error: ZeroDivisionError: division by zero ({zero})" in told


def test_invalid_option_is_reported(declare_document: Any) -> None:
    """An option that DocRaptor refuses is reported, too."""
    label = declare_document("good.html", options={"prince_options": {"key_bits": 7}})
    assert "key_bits" in failing_preflight(label, *create_invoices("1"), failed="1 of 1")


def test_params_are_passed_to_the_document(declare_document: Any) -> None:
    """`--params` gives the parameters that a form would have asked for."""
    label = declare_document("good.html", get_context=lambda self: {"day": self.params["pay_by"]})
    (key,) = create_invoices("1")
    assert "KeyError: 'pay_by'" in failing_preflight(label, key, failed="1 of 1")
    assert "no problems found" in preflight(label, key, "--params", '{"pay_by": "2026-01-31"}')


def test_paths_are_relative_to_the_current_directory(
    declare_document: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file below the current directory has a relative path."""
    monkeypatch.chdir(tmp_path)
    told = failing_preflight(declare_document("bad.html"), *create_invoices("1"), failed="1 of 1")
    assert told.startswith("head.html:2: error: ")


def test_oversized_content_is_reported(declare_document: Any, settings: Any) -> None:
    """The maximum size is checked like any other rule."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_CONTENT_BYTES": 5}
    told = failing_preflight(declare_document("good.html"), *create_invoices("1"), failed="1 of 1")
    assert "good.html: error: content has" in told


def test_all_may_be_limited_to_the_newest(declare_document: Any) -> None:
    """`--all` checks all objects, and `--limit` the newest of them."""
    create_invoices(*"12345")
    label = declare_document("good.html")
    assert preflight(label, "--all").startswith("5 documents")
    keys = Invoice.objects.order_by("-pk").values_list("pk", flat=True)
    found = json.loads(
        failing_preflight(
            declare_document("bad.html"), "--all", "--limit", 2, "--json", failed="2 of 2"
        )
    )
    assert {one["source"] for one in found["findings"]} == {str(key) for key in keys[:2]}


def test_report_is_checked_once() -> None:
    """A report is rendered once, over all of its rows."""
    keys = create_invoices("1", "2", "3")
    assert preflight("shop.InvoiceList", "--all", "--limit", 2).startswith("1 document checked:")
    assert preflight("shop.InvoiceList", *keys).startswith("1 document checked:")


def test_json_has_locations_and_severity(declare_document: Any, tmp_path: Path) -> None:
    """`--json` prints the severity, the locations and the line of the HTML."""
    (key,) = create_invoices("7")
    found = json.loads(
        failing_preflight(declare_document("bad.html"), key, "--json", failed="1 of 1")
    )
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
def test_invalid_argument_is_explained(arguments: list[str], said: str) -> None:
    """The error says which argument is invalid."""
    failing_preflight(*arguments, failed=said)
