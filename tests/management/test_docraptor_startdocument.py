"""`manage.py docraptor_startdocument` checks every name, and writes nothing over anything."""

import ast
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import models
from django.test.utils import isolate_apps

from django_docraptor.management.startdocument.modules import add_to_module
from django_docraptor.management.startdocument.plan import make_plan
from django_docraptor.management.startdocument.sample_objects import SampleObjects
from django_docraptor.management.startdocument.template import facts, rows
from tests.apps.shop.models import DayReport, Invoice, Label, Line, ShopDayReport, Subscription

SHOP = Path(__file__).parents[1] / "apps" / "shop"


def start(*arguments: str) -> str:
    """Run the command without writing; return what it prints."""
    output = StringIO()
    call_command("docraptor_startdocument", *arguments, "--dry-run", stdout=output)
    return output.getvalue()


def test_dry_run_prints_all_files_and_writes_none() -> None:
    """The class, the template and the test are shown with their paths."""
    before = {path: path.stat().st_mtime_ns for path in SHOP.rglob("*") if path.is_file()}
    printed = start("shop", "line")
    names = re.findall(r"^--- (.*)$", printed, re.MULTILINE)
    assert [Path(name).name for name in names] == [
        "documents.py",
        "line_pdf.html",
        "test_line_pdf.py",
    ]
    assert "class LinePDF(Document[Line]):" in printed
    assert {path: path.stat().st_mtime_ns for path in SHOP.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shp", "Line"), "There is no app 'shp' in INSTALLED_APPS. Did you mean shop?"),
        (("nothing-like-it", "Line"), "INSTALLED_APPS. Apps: admin, auth, "),
        (("shop", "Invoce"), "The app shop has no model 'Invoce'. Did you mean Invoice or"),
        (("shop", "auth.Usr"), "The app auth has no model 'Usr'. Did you mean User?"),
        (("shop", "atuh.User"), "There is no app 'atuh' in INSTALLED_APPS. Did you mean auth?"),
        (("messages", "Note"), "The app messages has no model 'Note'. It has no models."),
        (("auth", "User"), "auth is an installed package, into which nothing is written."),
        (("shop", "Invoice"), "shop.InvoicePDF is taken already. Pass another name."),
        (("shop", "Line", "--name", "Line"), "shop.Line is taken already."),
        (("shop", "Line", "--name", "Document"), "shop.Document is taken already."),
        (("shop", "Line", "--name", "class"), "'class' cannot be the name of a class."),
        (("shop", "Line", "--name", "2nd"), "'2nd' cannot be the name of a class."),
        (("shop", "Line", "--name", ""), "'' cannot be the name of a class."),
        (("shop", "Line", "--name", "a.b"), "'a.b' cannot be the name of a class."),
        (("shop", "Line", "--name", "../Line"), "'../Line' cannot be the name of a class."),
        (("shop", "Line", "--name", "L" * 300), "characters."),
        (("shop", "Line", "--name", "Invoices"), "invoices.html exists, and is not overwritten."),
    ],
)
def test_wrong_name_is_refused_with_the_nearest(arguments: tuple[str, ...], message: str) -> None:
    """A name that is unknown, taken or no name ends the command before anything is written."""
    with pytest.raises(CommandError) as caught:
        start(*arguments)
    assert message in str(caught.value)


def test_template_directory_of_a_project_without_app_directories(settings: Any) -> None:
    """The template is written where Django finds it."""
    config, template = apps.get_app_config("shop"), settings.TEMPLATES[0]
    settings.TEMPLATES = [{**template, "APP_DIRS": False, "DIRS": ["/srv/templates"]}]
    plan = make_plan(config, Line, "LinePDF")
    assert Path("/srv/templates/shop/line_pdf.html") in [file.path for file in plan.files]
    settings.TEMPLATES = [{**template, "APP_DIRS": False, "DIRS": []}]
    with pytest.raises(CommandError, match="Set APP_DIRS to True"):
        make_plan(config, Line, "LinePDF")


CODE = "class A:\n    pass\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "import b\n\n\n" + CODE),
        ('"""About."""\n', '"""About."""\n\nimport b\n\n\n' + CODE),
        ("# us\nimport a\n\nx = 1\n", "# us\nimport a\nimport b\n\nx = 1\n\n\n" + CODE),
        ("import b\n", "import b\n\n\n" + CODE),
        (
            "from x import (\n    y,\n)\nz = y",
            "from x import (\n    y,\n)\nimport b\nz = y\n\n\n" + CODE,
        ),
        ("x = 1\n\n\n\n", "import b\nx = 1\n\n\n" + CODE),
        (
            "import a\r\n",
            "import a\nimport b\n\n\n".replace("\n", "\r\n") + CODE.replace("\n", "\r\n"),
        ),
    ],
)
def test_module_keeps_what_it_has(text: str, expected: str) -> None:
    """An import comes after the module's own, the class at its end; nothing else changes."""
    result = add_to_module(text, ["import b"], CODE, name="documents.py")
    assert result == expected
    ast.parse(result)


def test_module_that_is_not_python_is_refused() -> None:
    """The message names the file and the line."""
    with pytest.raises(CommandError, match=r"documents\.py cannot be read: .*line 1"):
        add_to_module("class", [], CODE, name="documents.py")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "model", [Invoice, DayReport, ShopDayReport, Line, Label, Subscription, User, Group]
)
def test_code_creates_an_object(model: type[models.Model]) -> None:
    """The code that a test gets runs, and saves an object with all that it requires."""
    samples = SampleObjects()
    code = samples.create(model, indent=8)
    names: dict[str, Any] = {}
    exec("\n".join(samples.imports), names)
    created = eval(code, names)
    assert type(created).objects.get() == created
    assert samples.unknown == []


@isolate_apps("tests.apps.shop")
def test_code_has_a_value_for_each_kind_of_field() -> None:
    """Choices, lengths and other types are respected; what is unknown is told."""

    class Odd(models.Field[Any, Any]):
        """A field of a project."""

    class Everything(models.Model):  # noqa: DJ008
        """Required fields, and those that need no value."""

        email = models.EmailField()
        url = models.URLField()
        slug = models.SlugField()
        key = models.UUIDField()
        at = models.DateTimeField()
        made = models.DateTimeField(auto_now_add=True)
        took = models.DurationField()
        ratio = models.DecimalField(max_digits=2, decimal_places=2)
        level = models.IntegerField(choices=[(3, "three")])
        code = models.CharField(max_length=2)
        quoted = models.CharField("it's", max_length=9)
        grouped = models.CharField(max_length=9, choices=[("A", [("a1", "x")])])
        data = models.JSONField()
        parent = models.ForeignKey("self", on_delete=models.CASCADE)
        maybe = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="+")
        note = models.TextField(blank=True)
        odd = Odd()

        class Meta:
            app_label = "shop"

    samples = SampleObjects()
    code = samples.create(Everything, indent=8)
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    values = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    assert values == {
        "email": "'reader@example.com'",
        "url": "'https://example.com/'",
        "slug": "'sample'",
        "key": "uuid4()",
        "at": "timezone.now()",
        "took": "timedelta(days=1)",
        "ratio": "Decimal('0')",
        "level": "3",
        "code": "'Co'",
        "quoted": '"It\'s"',
        "grouped": "'a1'",
        "data": "{}",
        "parent": "None",
        "odd": "None",
    }
    assert samples.unknown == ["Everything.parent", "Everything.odd"]


def test_template_shows_no_password() -> None:
    """Keys, files and what looks like a secret are left out."""
    assert "{{ user.username }}" in facts(User)
    assert "password" not in facts(User)
    assert "pdf" not in facts(Invoice)
    assert "{% for line in invoice.lines.all %}" in rows(Invoice)
    assert "{{ line.invoice }}" not in rows(Invoice)
    assert rows(Line) == ""


@isolate_apps("tests.apps.shop")
def test_template_text_is_escaped() -> None:
    """A heading is text, whatever it has in it."""

    class Odd(models.Model):  # noqa: DJ008
        """A model with a heading of code."""

        value = models.BooleanField("{% load x %} <b> {{ y }}")

        class Meta:
            app_label = "shop"

    html = facts(Odd)
    assert "&#123;% load x %} &lt;b&gt; &#123;&#123; y }}" in html
    assert "{{ odd.value|yesno }}" in html
