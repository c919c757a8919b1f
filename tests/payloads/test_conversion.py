"""Options are converted to JSON and back, and merged."""

import json
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from django_docraptor.payloads import (
    DocumentRequest,
    PrinceOptions,
    merge_options,
    options_to_json,
)
from tests.support.document_requests import (
    EXPIRES,
    PRINCE_OPTIONS,
    TOP_LEVEL_OPTIONS,
    make_request,
    validation_messages,
)


def test_options_survive_a_round_trip_through_json():
    """from_options reads what options_to_json writes, and gives the same request."""
    options = {
        **TOP_LEVEL_OPTIONS,
        "new": EXPIRES,
        "prince_options": PrinceOptions(**PRINCE_OPTIONS),
    }
    stored = json.loads(json.dumps(options_to_json(options)))
    assert stored["hosted_expires_at"] == "2026-01-02T03:04:05+02:00"
    again = DocumentRequest.from_options(name="a.pdf", content="<p>Hi</p>", options=stored)
    assert again == make_request(
        **TOP_LEVEL_OPTIONS,
        prince_options=PrinceOptions(**PRINCE_OPTIONS),
        extra={"new": EXPIRES.isoformat()},
    )
    direct = DocumentRequest.from_options(name="a.pdf", content="<p>Hi</p>", options=options)
    assert direct == again


def test_options_may_be_any_mapping():
    """A mapping that is not a dict is converted, too."""
    assert options_to_json({"new": MappingProxyType({"a": 1})}) == {"new": {"a": 1}}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(JSON_VALUES)
def test_json_options_are_not_changed(value):
    """Options that are JSON are returned as they are."""
    assert options_to_json({"new": value}) == {"new": value}


def test_later_options_override_earlier_ones():
    """prince_options are merged one by one, in any form, and None removes an option."""
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
    extra = merge_options(
        {"extra": {"a": 1, "b": 1}, "prince_options": {"extra": {"c": 1}}},
        {"extra": {"b": 2}, "prince_options": PrinceOptions(extra={"d": 2})},
    )
    assert extra == {"extra": {"a": 1, "b": 2}, "prince_options": {"extra": {"c": 1, "d": 2}}}
    assert first["prince_options"] == PrinceOptions(media="print")


def test_prince_options_must_be_a_dict():
    """An invalid value is named, instead of raising TypeError."""
    found = validation_messages(merge_options, {"prince_options": {}}, {"prince_options": "media"})
    assert "must be a dict" in found["prince_options"][0]
