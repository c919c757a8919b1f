"""PrinceOptions: the JSON that is sent, and the message of each mistake."""

import dataclasses

import pytest

from django_docraptor.payloads import PrinceOptions
from tests.support.document_requests import PRINCE_OPTIONS, validation_messages


def test_sample_has_every_option():
    """The sample and the class have the same options."""
    names = {field.name for field in dataclasses.fields(PrinceOptions)}
    assert names == {*PRINCE_OPTIONS, "extra"}


def test_every_prince_option_is_sent():
    """Each option is sent under its own name; False is sent and None is not."""
    assert PrinceOptions(**PRINCE_OPTIONS).to_json() == PRINCE_OPTIONS
    assert PrinceOptions().to_json() == {}


def test_unknown_prince_options_are_sent():
    """Unknown options are sent, since the published list may be older than the service."""
    options = PrinceOptions(media="print", extra={"new": [1, {"a": None}], "off": None})
    assert options.to_json() == {"media": "print", "new": [1, {"a": None}]}
    assert PrinceOptions.from_json(options.to_json()) == PrinceOptions(
        media="print", extra={"new": [1, {"a": None}]}
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"http_timeout": 0}, "http_timeout must be between 1 and 60 seconds, not 0"),
        ({"http_timeout": 61}, "http_timeout must be between 1 and 60 seconds, not 61"),
        ({"http_timeout": True}, "http_timeout must be int or None, not True"),
        ({"key_bits": 64}, "key_bits must be one of 40, 128, not 64"),
        ({"input": "pdf"}, "input must be one of html, xml, auto, not 'pdf'"),
        ({"css_dpi": 0}, "css_dpi must be at least 1, not 0"),
        ({"max_passes": -1}, "max_passes must be at least 1, not -1"),
        ({"media": 1}, "media must be str or None, not 1"),
        ({"debug": "no"}, "debug must be bool or None, not 'no'"),
        ({"pdf_title": "\x00"}, "pdf_title contains a NUL character"),
        ({"extra": {"media": "print"}}, "media must be passed directly, not in extra"),
        ({"extra": {"new": {1, 2}}}, "which cannot be stored as JSON"),
        ({"extra": None}, "extra must be Mapping"),
    ],
)
def test_each_mistake_in_prince_options_is_named(options, message):
    """The message is under prince_options and has the option's name."""
    (found,) = validation_messages(PrinceOptions, **options)["prince_options"]
    assert found.startswith("prince_options.")
    assert message in found


def test_unknown_options_may_be_in_extra():
    """In a dict, unknown options are beside the known ones, or in ``extra``."""
    for options in ({"new": 1, "newer": None}, {"extra": {"new": 1}}):
        assert PrinceOptions.from_json(options) == PrinceOptions(extra={"new": 1})


@pytest.mark.parametrize("kind", [str, bool, int])
def test_type_of_every_prince_option_is_checked(kind):
    """No option accepts a value of another type."""
    wrong = {str: 1.5, bool: "x", int: "x"}[kind]
    for name, value in PRINCE_OPTIONS.items():
        if type(value) is kind:
            assert f".{name} must be {kind.__name__}" in str(
                validation_messages(PrinceOptions, **{name: wrong})
            )


@pytest.mark.fault("X7")
@pytest.mark.parametrize("name", ["user_password", "owner_password", "http_password", "http_proxy"])
def test_invalid_secret_is_not_repeated(name):
    """The message of an invalid password does not contain it."""
    found = str(validation_messages(PrinceOptions, **{name: ["pa55"]}))
    assert "pa55" not in found
    assert name in found
