"""What would fail at DocRaptor is found before it is sent, and nothing else is."""

import logging

from hypothesis import given
from hypothesis import strategies as st

from django_docraptor.payloads import PrinceOptions
from django_docraptor.preflight import check_content
from tests.support.document_requests import make_request, validation_messages
from tests.support.preflight import refusal

# Relative addresses and size: certain to fail.


def test_check_content_counts_bytes():
    """The limit is in bytes of UTF-8, and allowed itself."""
    check_content(make_request(content="é" * 50), max_bytes=100)
    found = validation_messages(check_content, make_request(content="é" * 50 + "x"), max_bytes=100)
    assert "101 bytes, but at most 100 are allowed" in found["content"][0]


def test_check_content_shortens_a_long_address():
    """The message stays readable."""
    assert len(refusal(f'<img src="{"a" * 5000}">')) < 500


def test_check_content_ignores_a_url():
    """There is no content to check."""
    check_content(make_request(content="", url="https://shop.test/"), max_bytes=0)


@given(st.text(alphabet="<>/='\" ;&#!-[]sryleimgu()@*\n", max_size=80))
def test_check_content_never_fails_on_odd_markup(content):
    """Whatever stands in the HTML, the answer is a message or none."""
    assert isinstance(refusal(f"x{content}"), str)


def test_check_content_names_all_mistakes_at_once():
    """Nobody has to find them one after the other, nor read a thousand."""
    content = '<img src="a.png">\n' * 12
    messages = validation_messages(check_content, make_request(content=content), max_bytes=10_000)[
        "content"
    ]
    assert [message.split(" of ")[0] for message in messages[:2]] == ["Line 1", "Line 2"]
    assert messages[10:] == ["… and 2 more problems."]


def test_check_content_names_the_template():
    """The line is that of the rendered HTML; the template is where it can be corrected."""
    content = make_request(content='\n<img src="a.png">')
    (message,) = validation_messages(check_content, content, max_bytes=100, template="shop/a.html")[
        "content"
    ]
    assert message.startswith("Line 2 of the content rendered from shop/a.html: <img")


def test_check_content_logs_a_warning_once(caplog):
    """A warning refuses nothing, and the same one is not told for each document."""
    html = '<img src="/static/nothing-here.png">'
    request = make_request(
        content=html, prince_options=PrinceOptions(baseurl="https://shop.example/")
    )
    with caplog.at_level(logging.WARNING, logger="django_docraptor"):
        check_content(request, max_bytes=1000)
        check_content(request, max_bytes=1000)
    assert [record.getMessage() for record in caplog.records] == [
        'Line 1 of content: <img src="/static/nothing-here.png"> refers to the static '
        "file 'nothing-here.png', which does not exist. Fix the path, or run collectstatic where "
        "the file is served."
    ]
