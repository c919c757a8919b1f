"""DocumentRequest: the JSON that is sent, flat options, and the message of each mistake."""

import dataclasses
import datetime as dt
import json

import pytest

from django_docraptor.payloads import DocumentRequest, DocumentType, PrinceOptions
from tests.support.document_requests import (
    PRINCE_OPTIONS,
    TOP_LEVEL_OPTIONS,
    make_request,
    validation_messages,
)


def test_every_option_is_sent_at_the_top_level():
    """The JSON has the type, the content or URL, the test flag, and the options that are set."""
    request = make_request(
        **TOP_LEVEL_OPTIONS, prince_options=PrinceOptions(**PRINCE_OPTIONS), extra={"new": 1}
    )
    assert request.to_json() == {
        "name": "a.pdf",
        "type": "pdf",
        "document_content": "<p>Hi</p>",
        "test": True,
        **TOP_LEVEL_OPTIONS,
        "hosted_expires_at": "2026-01-02T03:04:05+02:00",
        "prince_options": PRINCE_OPTIONS,
        "new": 1,
    }


def test_test_flag_is_always_sent():
    """The flag is always sent, since DocRaptor's default differs between documents."""
    assert make_request().to_json() == {
        "name": "a.pdf",
        "type": "pdf",
        "test": True,
        "document_content": "<p>Hi</p>",
    }
    assert make_request(test=False).to_json()["test"] is False


def test_url_is_sent_instead_of_content():
    """A request with a URL has no content."""
    sent = make_request(content="", url="https://shop.test/a?b=c").to_json()
    assert sent["document_url"] == "https://shop.test/a?b=c"
    assert "document_content" not in sent


@pytest.mark.parametrize("kind", list(DocumentType))
def test_type_may_be_a_member_or_a_string(kind):
    """The type is sent as its word."""
    for given_as in (kind, kind.value):
        assert (
            json.dumps(make_request(document_type=given_as).to_json()["type"]) == f'"{kind.value}"'
        )


def test_request_is_frozen_and_copies_its_extra():
    """What was validated is sent, even if the caller's dict changes."""
    extra = {"new": 1}
    request = make_request(extra=extra)
    extra["name"] = "other"
    assert request.to_json()["new"] == 1
    assert request.to_json()["name"] == "a.pdf"
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.name = "b"
    assert hash(request) == hash(make_request(extra={"new": 1}))


def test_flat_options_are_split_into_known_and_unknown():
    """A project writes known and unknown options into one dict."""
    request = DocumentRequest.from_options(
        name="a.xlsx",
        document_type="xlsx",
        url="https://shop.test/",
        test=False,
        options={
            "javascript": True,
            "strict": None,
            "new": {"a": 1},
            "prince_options": {"media": "print", "newer": 2, "baseurl": None},
        },
    )
    assert request == DocumentRequest(
        name="a.xlsx",
        document_type="xlsx",
        url="https://shop.test/",
        test=False,
        javascript=True,
        prince_options=PrinceOptions(media="print", extra={"newer": 2}),
        extra={"new": {"a": 1}},
    )


def test_extra_is_sent_although_it_resembles_an_option():
    """A new option of DocRaptor is not refused because of its name, if it is in ``extra``."""
    prince = PrinceOptions(media="print", extra={"medai": "x"})
    request = DocumentRequest.from_options(
        name="a.pdf",
        content="<p>",
        options={"new": 1, "extra": {"javascrpt": True}, "prince_options": prince},
    )
    body = request.to_json()
    assert (body["javascrpt"], body["new"]) == (True, 1)
    assert body["prince_options"] == {"media": "print", "medai": "x"}


SECRET = "s3cret"


class Holder:
    """An object that shows what it holds."""

    def __repr__(self) -> str:
        return SECRET


@pytest.mark.parametrize(
    "options",
    [
        {"prince_options": [{"user_password": SECRET}]},
        {"prince_options": f'{{"user_password": "{SECRET}"}}'},
        {"prince_options": ({"user_password": SECRET},)},
        {"prince_options": {"media": {"http_password": SECRET}}},
        {"prince_options": {"http_timeout": [{"http_password": SECRET}]}},
        {"prince_options": {"user_password": [SECRET]}},
        {"prince_options": {"new": [{"user_password": {SECRET}}]}},
        {"javascript": [[{"user_password": SECRET}]]},
        {"tag": {"token": SECRET}},
        {"new": {SECRET}},
        {"new": [SECRET, object()]},
        {"new": {"a": ({"password": SECRET, "b": object()},)}},
        {"new": Holder()},
        {"new": SECRET.encode()},
        {"api_key": Holder()},
        {"extra": [{"user_password": SECRET}]},
        {"extra": {"new": [{"user_password": Holder()}]}},
        {"user_pasword": SECRET},
    ],
)
def test_no_message_shows_a_secret(options):
    """Whatever is wrong, in any nesting and of any type, a message shows no container's content."""
    found = validation_messages(
        DocumentRequest.from_options, name="a", content="x", options=options
    )
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"name": " "}, "name", "name must not be blank"),
        ({"name": "x" * 201}, "name", "name has 201 characters"),
        ({"name": 7}, "name", "name must be str, not 7"),
        ({"name": "a\x00b"}, "name", "name contains a NUL character"),
        ({"content": "a\x00b"}, "content", "content contains a NUL character"),
        ({"content": "\ud800"}, "content", "content contains a lone surrogate"),
        ({"content": b"x"}, "content", "content must be str"),
        ({"content": ""}, "content", "Either content or url is required"),
        ({"content": " \n"}, "content", "whitespace only"),
        ({"url": "https://a.test"}, "content", "either content or url, not both"),
        ({"content": "", "url": "ftp://a.test"}, "url", "not 'ftp://a.test'"),
        ({"content": "", "url": "/a"}, "url", "must be an absolute http:// or https:// URL"),
        ({"content": "", "url": "https://"}, "url", "must be an absolute http:// or https:// URL"),
        (
            {"content": "", "url": "http://[::1"},
            "url",
            "must be an absolute http:// or https:// URL",
        ),
        ({"document_type": "doc"}, "document_type", "must be one of pdf, xls, xlsx, not 'doc'"),
        ({"document_type": "PDF"}, "document_type", "must be one of pdf, xls, xlsx, not 'PDF'"),
        ({"test": 1}, "test", "test must be bool, not 1"),
        ({"test": None}, "test", "test must be bool, not None"),
        ({"tag": "x" * 201}, "tag", "tag has 201 characters"),
        ({"strict": "xml"}, "strict", "must be one of none, html, not 'xml'"),
        ({"pipeline": 10}, "pipeline", "pipeline must be str or None, not 10"),
        ({"javascript": "yes"}, "javascript", "javascript must be bool or None, not 'yes'"),
        ({"help": 0}, "help", "help must be bool or None, not 0"),
        ({"hosted_download_limit": 0}, "hosted_download_limit", "at least 1, not 0"),
        ({"hosted_download_limit": True}, "hosted_download_limit", "must be int or None"),
        ({"hosted_expires_at": dt.datetime(2026, 1, 1)}, "hosted_expires_at", "make_aware"),  # noqa: DTZ001
        ({"hosted_expires_at": "2026-01-01"}, "hosted_expires_at", "must be datetime or None"),
        ({"callback_url": "/hook"}, "callback_url", "must be an absolute http:// or https:// URL"),
        ({"prince_options": {"a": 1}}, "prince_options", "must be PrinceOptions"),
        ({"extra": []}, "extra", "extra must be Mapping, not a value of type list"),
        (
            {"extra": {1: 1}},
            "extra",
            "contains the name 1, but option names must be non-empty strings",
        ),
        (
            {"extra": {"new": object}},
            "extra",
            "new is a value of type type, which cannot be stored as JSON",
        ),
        ({"extra": {"new": float("nan")}}, "extra", "new is nan"),
        ({"extra": {"new": [{"a": "\x00"}]}}, "extra", "new contains a NUL character"),
        ({"extra": {"tag": "x"}}, "extra", "tag must be passed directly, not in extra"),
        ({"extra": {"async": True}}, "extra", "'async' is not an option"),
        ({"extra": {"user_credentials": "k"}}, "extra", "must never be part of a document"),
    ],
)
def test_each_mistake_is_named(changes, field, message):
    """The message has the field, the value and what is allowed."""
    found = validation_messages(make_request, **changes)
    assert message in " ".join(found[field])


def test_all_mistakes_are_reported_at_once():
    """One error has the messages of all invalid fields."""
    found = validation_messages(
        make_request, name="", content="", tag="x" * 201, document_type="doc"
    )
    assert set(found) == {"name", "content", "tag", "document_type"}


def test_longest_name_is_accepted():
    """200 characters are allowed, counted as characters."""
    assert make_request(name="é" * 200, tag="é" * 200).name == "é" * 200


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"name": "a"}, "name", "pass it as a separate argument"),
        ({"test": True}, "test", "DOCRAPTOR['TEST_MODE']"),
        ({"document_content": "x"}, "document_content", "pass it as content"),
        ({"async": True}, "async", "call the synchronous or asynchronous function instead"),
        ({"doc": {}}, "doc", "top level"),
        ({"extra": {"extra": {}}}, "extra", "it is the dict itself"),
        ({"extra": ["new"]}, "extra", "extra must be Mapping, not a value of type list"),
        ({"javascrpt": True}, "javascrpt", "Did you mean 'javascript'?"),
        ({"JavaScript": True}, "JavaScript", "Did you mean 'javascript'?"),
        ({"princeOptions": {}}, "princeOptions", "Did you mean 'prince_options'?"),
        ({"hosted-expires-at": None}, "hosted-expires-at", "Did you mean 'hosted_expires_at'?"),
        ({"media": "print"}, "media", "Did you mean prince_options={'media': …}?"),
        ({"user_pasword": "x"}, "user_pasword", "Did you mean 'prince_options.user_password'?"),
        ({"prince_options": {"medai": "print"}}, "prince_options", "Did you mean 'media'?"),
        ({"prince_options": {"userPassword": "x"}}, "prince_options", "mean 'user_password'?"),
        ({"prince_options": {"tag": "x"}}, "prince_options", "Did you mean 'tag' beside prince_op"),
        ({"prince_options": "media"}, "prince_options", "must be a dict or PrinceOptions"),
        (
            {"prince_options": {"key_bits": 1}},
            "prince_options",
            "key_bits must be one of 40, 128, not 1",
        ),
        ({"new": {1, 2}}, "new", "which cannot be stored as JSON"),
        ({"new": dt.datetime(2026, 1, 1)}, "new", "is a naive datetime"),  # noqa: DTZ001
        ({"new": float("inf")}, "new", "which cannot be stored as JSON"),
        (
            {"hosted_expires_at": "soon"},
            "hosted_expires_at",
            "ISO 8601 datetime with a UTC offset, not 'soon'",
        ),
        ({"hosted_expires_at": "2026-01-01T00:00:00"}, "hosted_expires_at", "make_aware"),
        ({"javascript": "yes"}, "javascript", "must be bool"),
    ],
)
def test_each_mistake_in_flat_options_is_named(options, field, message):
    """The messages are the same for options in a dict."""
    found = validation_messages(
        DocumentRequest.from_options, name="a", content="x", options=options
    )
    assert message in " ".join(found[field])
