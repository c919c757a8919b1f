"""Problems that DocRaptor would report are found before anything is sent."""

import logging

from hypothesis import given
from hypothesis import strategies as st

from django_docraptor.payloads import PrinceOptions
from django_docraptor.preflight import check_content
from tests.support.document_requests import make_request, validation_messages
from tests.support.preflight import content_error


def test_size_limit_is_in_bytes():
    """The limit is in bytes of UTF-8, and inclusive."""
    check_content(make_request(content="é" * 50), max_bytes=100)
    found = validation_messages(check_content, make_request(content="é" * 50 + "x"), max_bytes=100)
    assert "101 bytes, but at most 100 are allowed" in found["content"][0]


def test_long_url_is_shortened_in_the_message():
    """The message stays readable."""
    assert len(content_error(f'<img src="{"a" * 5000}">')) < 500


def test_document_from_a_url_is_not_checked():
    """A document from a URL has no content to check."""
    check_content(make_request(content="", url="https://shop.test/"), max_bytes=0)


@given(st.text(alphabet="<>/='\" ;&#!-[]sryleimgu()@*\n", max_size=80))
def test_odd_markup_raises_no_other_error(content):
    """Whatever the HTML contains, the result is a message or none."""
    assert isinstance(content_error(f"x{content}"), str)


def test_all_problems_are_reported_at_once():
    """All problems are in one message, up to a limit."""
    content = '<img src="a.png">\n' * 12
    messages = validation_messages(check_content, make_request(content=content), max_bytes=10_000)[
        "content"
    ]
    assert [message.split(" of ")[0] for message in messages[:2]] == ["Line 1", "Line 2"]
    assert messages[10:] == ["… and 2 more problems."]


def test_message_names_the_template():
    """The line is that of the rendered HTML, and the template is where to fix it."""
    content = make_request(content='\n<img src="a.png">')
    (message,) = validation_messages(check_content, content, max_bytes=100, template="shop/a.html")[
        "content"
    ]
    assert message.startswith("Line 2 of the content rendered from shop/a.html: <img")


def test_warning_is_logged_once(caplog):
    """A warning refuses nothing, and is not logged again for each document."""
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
