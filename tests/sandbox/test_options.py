"""Options: parsing, and DocRaptor's error messages."""

from datetime import UTC, datetime

import pytest

from django_docraptor.sandbox.options import (
    options_from_form,
    options_from_json,
    parse_time,
    validation_errors,
)

GOOD = {"name": "a", "type": "pdf", "document_content": "<p>x</p>"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"name": "x" * 200, "tag": "x" * 200}, []),
        ({"name": None}, []),
        ({"name": ""}, ["Name can't be blank"]),
        ({"name": "invoices/2026/11.pdf"}, []),
        ({"type": None}, ["Document type can't be blank"]),
        ({"name": "x" * 201}, ["Name is too long (maximum is 200 characters)"]),
        ({"type": ""}, ["Document type can't be blank"]),
        ({"type": "odt"}, ["Document type is not included in the list"]),
        ({"tag": "x" * 201}, ["Tag is too long (maximum is 200 characters)"]),
        ({"document_content": ""}, ["Document content can't be blank"]),
        ({"document_content": "", "document_url": "http://localhost/"}, []),
        ({"document_content": "<p>x"}, []),
        (
            {"document_content": "<p>x", "strict": "html"},
            ["Document Malformed: Premature end of data in tag p"],
        ),
        (
            {"document_content": "<i><b>x</i></b>", "strict": "html"},
            ["Document Malformed: Opening and ending tag mismatch: b and i"],
        ),
        (
            {"document_content": "<p>x</p></b>", "strict": "html"},
            ["Document Malformed: Unexpected end tag : b"],
        ),
        (
            {"document_content": "<p><herp>x</herp></p>", "strict": "html"},
            ["Document Malformed: Tag herp invalid"],
        ),
        ({"document_content": "<herp>x</herp>"}, []),
        ({"document_content": "<my-tag>x</my-tag>", "strict": "html"}, []),
        ({"document_content": "<svg><path d=''/><g></g></svg>", "strict": "html"}, []),
        ({"document_content": "<p>a<br>b<hr/></p>", "strict": "html"}, []),
    ],
)
def test_validation_errors_match_docraptor(change, expected):
    """Each invalid option has its error, and valid options have none."""
    errors = validation_errors(options_from_json(GOOD | change))
    assert errors == expected


@pytest.mark.parametrize(
    ("html", "is_rejected"),
    [
        ("<img src='/logo.png'>", True),
        ("<img src=logo.png>", True),
        ("<link rel=stylesheet href=style.css>", True),
        ("<style>p { background: url('a.png') }</style>", True),
        ("<p style='background: url(a.png)'>", True),
        ("<base href='https://a.test/'><img src='/logo.png'>", False),
        ("<img src='https://a.test/x.png'>", False),
        ("<img src='//a.test/x.png'>", True),
        ("<img src='data:image/png;base64,AA=='><a href='/page'>x</a><img>", False),
        ("<style>use { fill: url(#gradient) }</style>", False),
    ],
)
def test_relative_urls_need_a_baseurl(html, is_rejected):
    """Without a base URL, a relative URL is a file at DocRaptor, which is not allowed."""
    data = GOOD | {"document_content": html}
    expected = ["File system access is not allowed"] if is_rejected else []
    assert validation_errors(options_from_json(data)) == expected
    based = data | {"prince_options": {"baseurl": "https://a.test/"}}
    assert validation_errors(options_from_json(based)) == []


def test_documents_are_production_documents_by_default():
    """A client that forgets `test` is billed, and the ledger shows it."""
    assert options_from_json(GOOD).test is False
    assert options_from_json(GOOD | {"test": True}).test is True


def test_form_fields_are_parsed():
    """A form can contain nested fields, booleans and integers."""
    options = options_from_form(
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
def test_times_are_parsed(text):
    """Times are ISO 8601 or have the format of DocRaptor's example."""
    assert parse_time(text) == datetime(2015, 1, 1, 2, tzinfo=UTC)
