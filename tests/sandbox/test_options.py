"""Options: reading them, and the service's own words for what is wrong with them."""

from datetime import UTC, datetime

import pytest

from django_docraptor.sandbox.options import from_form, from_json, invalid_reasons, parse_time

GOOD = {"name": "a", "type": "pdf", "document_content": "<p>x</p>"}


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, []),
        ({"name": "x" * 200, "tag": "x" * 200}, []),
        ({"name": None}, ["Name can't be blank"]),
        ({"name": "x" * 201}, ["Name is too long (maximum is 200 characters)"]),
        ({"type": ""}, ["Document type can't be blank"]),
        ({"type": "odt"}, ["Document type is not included in the list"]),
        ({"tag": "x" * 201}, ["Tag is too long (maximum is 200 characters)"]),
        ({"document_content": ""}, ["Document content can't be blank"]),
        ({"document_content": "", "document_url": "http://localhost/"}, []),
        ({"document_content": "<p>x"}, []),
        ({"document_content": "<p>x", "strict": "html"}, ["Document Malformed: <p> is not closed"]),
        ({"document_content": "<i><b>x</i></b>", "strict": "html"}, ["Document Malformed: <i>"]),
        ({"document_content": "<p>a<br>b<hr/></p>", "strict": "html"}, []),
    ],
)
def test_reasons(change, reasons):
    """Each mistake has its reason, and what is right has none."""
    found = invalid_reasons(from_json(GOOD | change))
    assert len(found) == len(reasons)
    assert all(one.startswith(reason) for one, reason in zip(found, reasons, strict=True))


@pytest.mark.parametrize(
    ("html", "refused"),
    [
        ("<img src='/logo.png'>", True),
        ("<img src=logo.png>", True),
        ("<link rel=stylesheet href=style.css>", True),
        ("<style>p { background: url('a.png') }</style>", True),
        ("<p style='background: url(a.png)'>", True),
        ("<base href='https://a.test/'><img src='/logo.png'>", False),
        ("<img src='https://a.test/x.png'><img src='//a.test/x.png'>", False),
        ("<img src='data:image/png;base64,AA=='><a href='/page'>x</a><img>", False),
        ("<style>use { fill: url(#gradient) }</style>", False),
    ],
)
def test_relative_resources_need_a_baseurl(html, refused):
    """Without a base a relative URL is a file of the service, which it forbids."""
    data = GOOD | {"document_content": html}
    expected = ["File system access is not allowed"] if refused else []
    assert invalid_reasons(from_json(data)) == expected
    based = data | {"prince_options": {"baseurl": "https://a.test/"}}
    assert invalid_reasons(from_json(based)) == []


def test_test_is_off_unless_sent():
    """A caller who forgets `test` pays; the sandbox lets him notice."""
    assert from_json(GOOD).test is False
    assert from_json(GOOD | {"test": True}).test is True


def test_forms_are_read():
    """Nested fields, flags and numbers of a form."""
    options = from_form(
        {
            "doc[name]": "a",
            "colour": "red",
            "doc[test]": "true",
            "doc[ignore_resource_errors]": "false",
            "doc[hosted_download_limit]": "3",
            "doc[prince_options][media]": "screen",
        }
    )
    assert (options.name, options.test, options.ignore_resource_errors) == ("a", True, False)
    assert options.hosted_download_limit == 3
    assert options.prince_options == {"media": "screen"}


@pytest.mark.parametrize(
    "text",
    ["2015-01-01 02:00:00 UTC", "2015-01-01T02:00:00Z", "2015-01-01T00:00:00-02:00"],
)
def test_times_are_read(text):
    """ISO 8601, and the way DocRaptor's own example writes it."""
    assert parse_time(text) == datetime(2015, 1, 1, 2, tzinfo=UTC)
