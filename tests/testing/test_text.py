"""The visible text of HTML: `sent.text`, and what `contains` is compared with."""

import pytest

from django_docraptor.testing.text import html_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Total: <b>£45</b>.00</p><p>VAT</p>", "Total: £45.00 VAT"),
        ("<head><title>T</title><body>Hello", "Hello"),
        ("R&D", "R&D"),
        ("1 < 2 &amp; 3", "1 < 2 & 3"),
        ("<script>if (a<b) c", ""),
    ],
)
def test_text(html: str, text: str) -> None:
    """What a reader sees, with single spaces."""
    assert html_text(html) == text


@pytest.mark.parametrize(
    "malformed", ["<![unknown[x]]>", f"<i title='&#{'9' * 5000};'></i>"], ids=["section", "number"]
)
def test_malformed_html(malformed: str) -> None:
    """What the preflight and DocRaptor let pass is no error of the test either."""
    assert html_text(f"<p>Total</p>{malformed}<p>£45</p>") == "Total £45"
