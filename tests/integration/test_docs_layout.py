"""The examples of HTML show, in the sandbox's PDF, what their pages promise."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from django_docraptor import enqueue
from tests.support.markdown import ROOT

pytestmark = pytest.mark.once

pypdf = pytest.importorskip("pypdf")

PAGE = (ROOT / "docs" / "how-to" / "layout.md").read_text()
MOVING = (ROOT / "docs" / "how-to" / "moving.md").read_text()
# The heading of a section, and the first whole document in it.
EXAMPLE = re.compile(r"^## ([^\n]+)\n(?:(?!^## ).)*?```html\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = dict(EXAMPLE.findall(PAGE + MOVING))


@pytest.fixture
def render(docraptor_sandbox) -> Callable[[str], list]:
    """Return a function that renders the example of a section; it returns the PDF's pages."""
    docraptor_sandbox.change_settings(renderer="weasyprint")

    def pages(section: str) -> list:
        enqueue(name="example.pdf", content=EXAMPLES[section])
        (job,) = docraptor_sandbox.render()
        assert job.state == "completed", job.errors
        return list(pypdf.PdfReader(job.file.open("rb")).pages)

    return pages


def texts(pages: list) -> list[str]:
    """Return the text of each page, with single spaces."""
    return [" ".join(page.extract_text().split()) for page in pages]


def test_every_example_has_a_test() -> None:
    """Each whole document on the pages is rendered by a test of this module."""
    assert len(EXAMPLES) == (PAGE + MOVING).count("```html\n")
    source = Path(__file__).read_text()
    assert [section for section in EXAMPLES if f'render("{section}")' not in source] == []


def test_headers_and_page_numbers(render) -> None:
    """The first page has no header, and both have their number and the number of all."""
    first, second = texts(render("Page size, header and page numbers"))
    assert "Page 1 of 2" in first
    assert "Page 2 of 2" in second
    assert first.count("Invoice A-1") == 1  # the heading
    assert "Invoice A-1" in second  # the header


def test_heading_is_repeated(render) -> None:
    """Each page shows the heading of its own chapter above the text."""
    _title, sales, costs = texts(render("Repeat a heading in the header"))
    assert sales.count("Sales") == 2
    assert costs.count("Costs") == 2
    assert "Sales" not in costs


def test_header_of_html_is_on_each_page(render) -> None:
    """Letterhead and footer are on both pages, once each, and the footer has the page's number."""
    for number, text in enumerate(texts(render("Put a logo or a table into the header")), 1):
        assert text.count("Stationers since 1921") == 1
        assert re.search(rf"page {number}\b", text)


def test_long_table_repeats_its_header(render) -> None:
    """The head of the table is on each page; the total is on the last one only."""
    pages = texts(render("Long tables"))
    assert len(pages) > 1
    assert all("Article" in text for text in pages)
    assert [text.count("Total") for text in pages] == [0] * (len(pages) - 1) + [1]


def test_one_part_is_in_landscape(render) -> None:
    """The second page is wider than it is high, and the first is not."""
    upright, wide = (page.mediabox for page in render("One part in landscape"))
    assert upright.width < upright.height
    assert wide.width > wide.height


def test_stylesheet_for_wkhtmltopdf(render) -> None:
    """Each page has its number and the number of all, as with ``[page]/[topage]``."""
    first, second = texts(render("From wkhtmltopdf"))
    assert "1/2" in first
    assert "2/2" in second
