"""What is sent: every option, its round trip, and every mistake with its message."""

import dataclasses
import datetime as dt
import json
from types import MappingProxyType

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from django_docraptor.payloads import (
    DocumentRequest,
    DocumentType,
    PrinceOptions,
    merge_options,
    options_to_json,
)

EXPIRES = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=2)))

PRINCE = {
    "baseurl": "https://shop.test/",
    "no_xinclude": True,
    "no_network": False,
    "no_parallel_downloads": True,
    "http_user": "user",
    "http_password": "secret",
    "http_proxy": "proxy.test:8080",
    "http_timeout": 60,
    "insecure": False,
    "media": "print",
    "no_author_style": True,
    "no_default_style": True,
    "no_embed_fonts": True,
    "no_subset_fonts": True,
    "no_compress": True,
    "encrypt": True,
    "key_bits": 128,
    "user_password": "secret",
    "owner_password": "secret",
    "disallow_print": True,
    "disallow_copy": True,
    "disallow_annotate": True,
    "disallow_modify": True,
    "allow_assembly": True,
    "allow_copy_for_accessibility": True,
    "debug": True,
    "input": "xml",
    "version": "13",
    "javascript": True,
    "max_passes": 3,
    "css_dpi": 96,
    "profile": "PDF/A-3b",
    "pdf_title": "Grüße",
    "iframes": False,
    "page_margin": "1cm",
    "pdf_forms": True,
}
TOP = {
    "pipeline": "10.1",
    "strict": "html",
    "ignore_resource_errors": False,
    "ignore_console_messages": True,
    "tag": "shop:1",
    "help": False,
    "javascript": True,
    "referrer": "https://shop.test/",
    "callback_url": "https://shop.test/callback/",
    "hosted_download_limit": 5,
    "hosted_expires_at": EXPIRES,
}


def build(**changes):
    return DocumentRequest(**{"name": "a.pdf", "content": "<p>Hi</p>"} | changes)


def problems(make, *arguments, **changes):
    """The messages of the ValidationError that is raised, by field."""
    with pytest.raises(ValidationError) as caught:
        make(*arguments, **changes)
    return caught.value.message_dict


# Building and sending.


def test_prince_options_has_every_documented_option():
    """The table above and the class name the same options."""
    names = {field.name for field in dataclasses.fields(PrinceOptions)}
    assert names == {*PRINCE, "extra"}


def test_prince_options_sends_every_option():
    """Each option is sent under its own name, False and None told apart."""
    assert PrinceOptions(**PRINCE).to_json() == PRINCE
    assert PrinceOptions().to_json() == {}


def test_prince_options_passes_unknown_names_through():
    """The published list lags behind the service."""
    options = PrinceOptions(media="print", extra={"new": [1, {"a": None}], "off": None})
    assert options.to_json() == {"media": "print", "new": [1, {"a": None}]}
    assert PrinceOptions.from_json(options.to_json()) == PrinceOptions(
        media="print", extra={"new": [1, {"a": None}]}
    )


def test_document_request_sends_every_option_at_the_top_level():
    """Exactly what the API takes: type, content or url, test, and what is set."""
    request = build(**TOP, prince_options=PrinceOptions(**PRINCE), extra={"new": 1})
    assert request.to_json() == {
        "name": "a.pdf",
        "type": "pdf",
        "document_content": "<p>Hi</p>",
        "test": True,
        **TOP,
        "hosted_expires_at": "2026-01-02T03:04:05+02:00",
        "prince_options": PRINCE,
        "new": 1,
    }


def test_document_request_always_sends_test():
    """DocRaptor's own default differs between documents."""
    assert build().to_json() == {
        "name": "a.pdf",
        "type": "pdf",
        "test": True,
        "document_content": "<p>Hi</p>",
    }
    assert build(test=False).to_json()["test"] is False


def test_document_request_sends_a_url_instead_of_content():
    """With an address there is no content."""
    sent = build(content="", url="https://shop.test/a?b=c").to_json()
    assert sent["document_url"] == "https://shop.test/a?b=c"
    assert "document_content" not in sent


@pytest.mark.parametrize("kind", list(DocumentType))
def test_document_request_sends_the_type(kind):
    """As a member or as its word."""
    for given_as in (kind, kind.value):
        assert json.dumps(build(document_type=given_as).to_json()["type"]) == f'"{kind.value}"'


def test_document_request_is_frozen_and_keeps_its_own_extra():
    """What was checked is what is sent, whatever becomes of the caller's dict."""
    extra = {"new": 1}
    request = build(extra=extra)
    extra["name"] = "other"
    assert request.to_json()["new"] == 1
    assert request.to_json()["name"] == "a.pdf"
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.name = "b"
    assert hash(request) == hash(build(extra={"new": 1}))


def test_from_options_sorts_names_into_known_and_unknown():
    """A flat dict, as a project writes it."""
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


def test_options_survive_storage_as_json():
    """What options_to_json writes, from_options reads: the same request."""
    options = {**TOP, "new": EXPIRES, "prince_options": PrinceOptions(**PRINCE)}
    stored = json.loads(json.dumps(options_to_json(options)))
    assert stored["hosted_expires_at"] == "2026-01-02T03:04:05+02:00"
    again = DocumentRequest.from_options(name="a.pdf", content="<p>Hi</p>", options=stored)
    assert again == build(
        **TOP, prince_options=PrinceOptions(**PRINCE), extra={"new": EXPIRES.isoformat()}
    )
    direct = DocumentRequest.from_options(name="a.pdf", content="<p>Hi</p>", options=options)
    assert direct == again


def test_options_to_json_takes_any_mapping():
    """Also one that is no dict."""
    assert options_to_json({"new": MappingProxyType({"a": 1})}) == {"new": {"a": 1}}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(JSON_VALUES)
def test_options_to_json_leaves_json_as_it_is(value):
    """JSON in, the same JSON out."""
    assert options_to_json({"new": value}) == {"new": value}


def test_merge_options_lets_the_later_win_option_by_option():
    """prince_options are merged one by one, in whichever form they are; None takes back."""
    first = {"javascript": True, "strict": "html", "prince_options": PrinceOptions(media="print")}
    second = {"javascript": None, "prince_options": {"debug": True, "media": "screen"}}
    third = {"tag": "t", "prince_options": None}
    fourth = {"prince_options": PrinceOptions(baseurl="https://a.test")}
    assert merge_options(first, second) == {
        "javascript": None,
        "strict": "html",
        "prince_options": {"media": "screen", "debug": True},
    }
    assert merge_options(first, third)["prince_options"] is None
    merged = merge_options(first, second, fourth)
    assert merged["prince_options"] == {
        "media": "screen",
        "debug": True,
        "baseurl": "https://a.test",
    }
    assert merge_options() == {}
    assert first["prince_options"] == PrinceOptions(media="print")


# Mistakes.


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"name": " "}, "name", "name is blank"),
        ({"name": "x" * 201}, "name", "name has 201 characters"),
        ({"name": 7}, "name", "name must be str, not 7"),
        ({"name": "a\x00b"}, "name", "name has a NUL character"),
        ({"content": "a\x00b"}, "content", "content has a NUL character"),
        ({"content": "\ud800"}, "content", "content has a lone surrogate"),
        ({"content": b"x"}, "content", "content must be str"),
        ({"content": ""}, "content", "give one of them"),
        ({"content": " \n"}, "content", "only white space"),
        ({"url": "https://a.test"}, "content", "leave one of them out"),
        ({"content": "", "url": "ftp://a.test"}, "url", "not 'ftp://a.test'"),
        ({"content": "", "url": "/a"}, "url", "must be a full address"),
        ({"content": "", "url": "https://"}, "url", "must be a full address"),
        ({"content": "", "url": "http://[::1"}, "url", "must be a full address"),
        ({"document_type": "doc"}, "document_type", "'doc': choose one of pdf, xls, xlsx"),
        ({"document_type": "PDF"}, "document_type", "'PDF': choose one of"),
        ({"test": 1}, "test", "test must be bool, not 1"),
        ({"test": None}, "test", "test must be bool, not None"),
        ({"tag": "x" * 201}, "tag", "tag has 201 characters"),
        ({"strict": "xml"}, "strict", "'xml': choose one of none, html"),
        ({"pipeline": 10}, "pipeline", "pipeline must be str or None, not 10"),
        ({"javascript": "yes"}, "javascript", "javascript must be bool or None, not 'yes'"),
        ({"help": 0}, "help", "help must be bool or None, not 0"),
        ({"hosted_download_limit": 0}, "hosted_download_limit", "at least 1, not 0"),
        ({"hosted_download_limit": True}, "hosted_download_limit", "must be int or None"),
        ({"hosted_expires_at": dt.datetime(2026, 1, 1)}, "hosted_expires_at", "make_aware"),  # noqa: DTZ001
        ({"hosted_expires_at": "2026-01-01"}, "hosted_expires_at", "must be datetime or None"),
        ({"callback_url": "/hook"}, "callback_url", "must be a full address"),
        ({"prince_options": {"a": 1}}, "prince_options", "must be PrinceOptions"),
        ({"extra": []}, "extra", "extra must be Mapping, not []"),
        ({"extra": {1: 1}}, "extra", "has the name 1: names are strings"),
        ({"extra": {"new": object}}, "extra", "new is <class 'object'>, which JSON cannot hold"),
        ({"extra": {"new": float("nan")}}, "extra", "new is nan"),
        ({"extra": {"new": [{"a": "\x00"}]}}, "extra", "new has a NUL character"),
        ({"extra": {"tag": "x"}}, "extra", "give it as tag"),
        ({"extra": {"async": True}}, "extra", "'async' is no option"),
        ({"extra": {"user_credentials": "k"}}, "extra", "must never be part of a document"),
    ],
)
def test_document_request_names_each_mistake(changes, field, message):
    """The field, the value and what to do."""
    found = problems(build, **changes)
    assert message in " ".join(found[field])


def test_document_request_names_all_mistakes_at_once():
    """Nobody has to find them one after the other."""
    found = problems(build, name="", content="", tag="x" * 201, document_type="doc")
    assert set(found) == {"name", "content", "tag", "document_type"}


def test_document_request_takes_the_longest_name():
    """200 characters are allowed, counted as characters."""
    assert build(name="é" * 200, tag="é" * 200).name == "é" * 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"http_timeout": 0}, "http_timeout must be from 1 to 60 seconds, not 0"),
        ({"http_timeout": 61}, "http_timeout must be from 1 to 60 seconds, not 61"),
        ({"http_timeout": True}, "http_timeout must be int or None, not True"),
        ({"key_bits": 64}, "key_bits is 64: choose one of 40, 128"),
        ({"input": "pdf"}, "input is 'pdf': choose one of html, xml, auto"),
        ({"css_dpi": 0}, "css_dpi must be at least 1, not 0"),
        ({"max_passes": -1}, "max_passes must be at least 1, not -1"),
        ({"media": 1}, "media must be str or None, not 1"),
        ({"debug": "no"}, "debug must be bool or None, not 'no'"),
        ({"pdf_title": "\x00"}, "pdf_title has a NUL character"),
        ({"extra": {"media": "print"}}, "give it as media"),
        ({"extra": {"new": {1, 2}}}, "which JSON cannot hold"),
        ({"extra": None}, "extra must be Mapping"),
    ],
)
def test_prince_options_names_each_mistake(options, message):
    """All under prince_options, with the option's name in the message."""
    (found,) = problems(PrinceOptions, **options)["prince_options"]
    assert found.startswith("prince_options.")
    assert message in found


@pytest.mark.parametrize("kind", [str, bool, int])
def test_prince_options_checks_the_type_of_every_option(kind):
    """No option takes a value of another kind."""
    wrong = {str: 1.5, bool: "x", int: "x"}[kind]
    for name, value in PRINCE.items():
        if type(value) is kind:
            assert f".{name} must be {kind.__name__}" in str(
                problems(PrinceOptions, **{name: wrong})
            )


@pytest.mark.parametrize("name", ["user_password", "owner_password", "http_password", "http_proxy"])
def test_prince_options_keeps_secrets_out_of_messages(name):
    """A wrong secret is not repeated."""
    found = str(problems(PrinceOptions, **{name: ["pa55"]}))
    assert "pa55" not in found
    assert name in found


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"name": "a"}, "name", "give it as the document's name"),
        ({"test": True}, "test", "DOCRAPTOR['TEST_MODE']"),
        ({"document_content": "x"}, "document_content", "give it as content"),
        ({"async": True}, "async", "choose the call instead"),
        ({"doc": {}}, "doc", "top level"),
        ({"extra": {}}, "extra", "beside the known ones"),
        ({"prince_options": "media"}, "prince_options", "must be a dict or PrinceOptions"),
        ({"prince_options": {"key_bits": 1}}, "prince_options", "key_bits is 1"),
        ({"new": {1, 2}}, "new", "which JSON cannot hold"),
        ({"new": dt.datetime(2026, 1, 1)}, "new", "a time without a time zone"),  # noqa: DTZ001
        ({"new": float("inf")}, "new", "which JSON cannot hold"),
        ({"hosted_expires_at": "soon"}, "hosted_expires_at", "ISO 8601"),
        ({"hosted_expires_at": "2026-01-01T00:00:00"}, "hosted_expires_at", "make_aware"),
        ({"javascript": "yes"}, "javascript", "must be bool"),
    ],
)
def test_from_options_names_each_mistake(options, field, message):
    """The same words wherever the options were written."""
    found = problems(DocumentRequest.from_options, name="a", content="x", options=options)
    assert message in " ".join(found[field])


def test_merge_options_refuses_prince_options_that_are_no_dict():
    """A mistake in the settings is named, not a TypeError."""
    found = problems(merge_options, {"prince_options": {}}, {"prince_options": "media"})
    assert "must be a dict" in found["prince_options"][0]
