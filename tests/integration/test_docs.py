"""The reference lists what the code has, and the links between its pages are valid."""

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from textwrap import indent

import pytest
from django.core.management import BaseCommand, load_command_class
from django.dispatch import Signal

from django_docraptor import conf, signals, states
from tests.support.markdown import PAGES, ROOT, prose
from tests.support.markers import names_by_code

pytestmark = pytest.mark.once

REFERENCE = ROOT / "docs" / "reference"
PACKAGE = ROOT / "django_docraptor"
LINK = re.compile(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)")


def headings(page: str, level: int = 2) -> list[str]:
    """Return the headings of a reference page."""
    text = (REFERENCE / page).read_text()
    return re.findall(rf"^{'#' * level} (.+)$", text, re.MULTILINE)


def test_settings_are_documented() -> None:
    """Every setting has a heading, and every heading is a setting."""
    assert sorted(headings("settings.md")) == sorted(
        setting.key for setting in conf.declared_settings()
    )


def test_defaults_are_documented() -> None:
    """The default numbers on the page are those of the code."""
    text = (REFERENCE / "settings.md").read_text()
    for key in ("deadline", "max_in_flight", "retry_for", "max_document_bytes"):
        default = getattr(conf.Conf, key).default
        assert f"`{default}`" in text.partition(f"## {key.upper()}\n")[2].partition("\n## ")[0]


def check_ids() -> set[str]:
    """Return every check ID that the code can report."""
    ids = set()
    for file in [PACKAGE / "checks.py", *PACKAGE.glob("*/checks.py")]:
        text = file.read_text()
        for kind, number in re.findall(r"_(error|warning)\w*\(\s*(?:document,\s*)?(\d+),", text):
            ids.add(f"django_docraptor.{kind[0].upper()}{int(number):03}")
        ids.update(re.findall(r'id="(django_docraptor\.[EWI]\d+)"', text))
    assert ids
    return ids


def test_checks_are_documented() -> None:
    """Every check ID that the code can report has a heading."""
    assert set(headings("checks.md")) == check_ids()


def test_checks_are_tested() -> None:
    """Every check ID that the code can report is in the marker of a test, and no other."""
    assert {f"django_docraptor.{number}" for number in names_by_code("check")} == check_ids()


def test_states_and_error_codes_are_documented() -> None:
    """Every state and every error code has a heading, in the code's order."""
    expected = [*states.State.values, *(reason.value for reason in states.ErrorCode)]
    assert headings("states.md", level=3) == expected


def test_every_error_code_has_its_remedy() -> None:
    """The page about failed jobs has a row for every error code, and for no other."""
    page = (ROOT / "docs" / "how-to" / "failed-jobs.md").read_text()
    cells = [row.split("|")[1] for row in page.splitlines() if row.startswith("| `")]
    codes = [code for cell in cells for code in re.findall(r"`(\w+)`", cell)]
    assert sorted(codes) == sorted(code.value for code in states.ErrorCode)


def test_signals_are_documented() -> None:
    """Every signal has a heading."""
    expected = [name for name, value in vars(signals).items() if isinstance(value, Signal)]
    assert headings("signals.md") == expected


def test_commands_are_documented() -> None:
    """Every management command has a heading."""
    commands = (PACKAGE / "management" / "commands").glob("docraptor_*.py")
    assert sorted(headings("commands.md")) == sorted(file.stem for file in commands)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as Sphinx and code hosts write them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_are_valid(page: Path) -> None:
    """A relative link or image is a file of this repository; its anchor is a heading."""
    for path, anchor in LINK.findall(prose(page)):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_links_to_the_repository_are_valid() -> None:
    """A link to a file of the repository at its host names one that is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pattern = rf"{re.escape(project['urls']['Source'])}/(?:blob|tree)/\w+/([^)#\s]+)"
    paths = [path for page in PAGES for path in re.findall(pattern, page.read_text())]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_no_link_is_written_in_another_form() -> None:
    """References and HTML links, which the other tests do not see, are not used."""
    pattern = r"^\[[^\]]+\]: |\]\[|\]\(<|<a href="
    texts = {page.name: re.sub(r"`[^`\n]+`", "", prose(page)) for page in PAGES}
    found = [name for name, text in texts.items() if re.search(pattern, text, re.MULTILINE)]
    assert found == []


def test_options_of_commands_are_documented() -> None:
    """The options in the section of a command are those that it takes, without Django's own."""
    text = (REFERENCE / "commands.md").read_text()
    django_options = options_of(BaseCommand())
    for name in headings("commands.md"):
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `--")]
        listed = {found for row in rows for found in re.findall(r"`(--[\w-]+)", row.split("|")[1])}
        command = load_command_class("django_docraptor", name)
        assert listed == options_of(command) - django_options, name


def options_of(command: BaseCommand) -> set[str]:
    """Return the long options of a command."""
    actions = command.create_parser("manage.py", "command")._actions
    return {option for each in actions for option in each.option_strings if option[:2] == "--"}


def test_state_diagram_is_the_codes() -> None:
    """The design shows the same diagram as the module of the states, line by line."""
    diagram = (states.__doc__ or "").partition("``::\n\n")[2]
    page = (ROOT / "docs" / "explanation" / "design.md").read_text()
    assert f"```\n{textwrap.dedent(diagram)}```" in page


def test_every_page_is_in_the_index() -> None:
    """Every page of the documentation is listed in the index."""
    index = (ROOT / "docs" / "index.md").read_text()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert name == "index" or name in index, name


def test_figures_of_the_readme_are_those_of_the_page() -> None:
    """Each figure that the README compares is on the page about performance, beside its rival."""
    text = (ROOT / "README.md").read_text()
    rows = text.partition("| measured by |\n")[2].partition("\n\n")[0].splitlines()[1:]
    figures = [[cell.strip() for cell in row.split("|")[2:4]] for row in rows]
    assert len(figures) == 5
    page = (ROOT / "docs" / "explanation" / "performance.md").read_text()
    for ours, baseline in figures:
        pattern = rf"\| {re.escape(ours)}( documents/s)? \| {re.escape(baseline)}( documents/s)? \|"
        assert re.search(pattern, page), (ours, baseline)


# What the page leaves to its reader, and a record of what must not be published.
READER = """
import os, pathlib, pytest
from celery.signals import before_task_publish
from django_docraptor import Document
from django_docraptor.pytest_plugin import docraptor, docraptor_sandbox
from tests.apps.shop.models import Invoice

class InvoicePDF(Document[Invoice]):
    template_name = "shop/invoice.html"
    options = {"javascript": True, "prince_options": {"media": "print"}}

    def get_name(self):
        return f"invoice-{self.source.number}.pdf"

    def render(self):
        return "<h1>Invoice A-1</h1><p>Please pay £45.00</p>"

class Reminder(InvoicePDF):
    template_name = "shop/invoice.html"

Invoice.issue = lambda invoice: InvoicePDF.enqueue(invoice)

@before_task_publish.connect
def record(**kwargs):
    pathlib.Path(os.environ["TEST_SCRATCH"], "published").touch()

@pytest.fixture
def invoice(db):
    return Invoice.objects.create(number="A-1")
"""
# After the page: its test case has an invoice, and what is no test of its own becomes one.
SETUP = "    def setUp(self):\n        self.invoice = Invoice.objects.create(number='A-1')\n"
AS_TEST = "def test_block_{}(docraptor, invoice):\n    job = InvoicePDF.enqueue(invoice)\n{}"


def test_testing_page_example_works(tmp_path: Path) -> None:
    """The page's example works as written, and uses no broker and no storage of the project."""
    page = (ROOT / "docs/how-to/testing.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    function, case, outbox, faults, lost, _settings, sandbox = blocks
    last = "    docraptor.render()\n"
    parts = [READER, function, case, SETUP, sandbox]
    parts.append(AS_TEST.format("outbox", indent(outbox, "    ")))
    parts.append(AS_TEST.format("faults", indent(faults, "    ") + last))
    parts.append(AS_TEST.format("lost", "    docraptor.lose_answer()\n" + indent(lost, "    ")))
    (tmp_path / "test_page.py").write_text("\n".join(parts))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    scratch = tmp_path / "project"
    scratch.mkdir()
    done = subprocess.run(
        [*command, "--rootdir", tmp_path, "--ds", "tests.settings", tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TEST_SCRATCH": str(scratch)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "7 passed" in done.stdout, done.stdout + done.stderr
    assert [path.name for path in scratch.iterdir() if "sqlite" not in path.name] == []
