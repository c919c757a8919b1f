"""How the admin shows a state, a duration and secret values."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.html import strip_tags

import django_docraptor
from django_docraptor.admin.display import (
    EMPTY_VALUE,
    format_duration,
    format_time_taken,
    redact_secrets,
    state_badge,
)
from django_docraptor.states import State
from tests.support.admin_jobs import create_admin_job

pytestmark = pytest.mark.django_db


def test_styles_do_without_the_admins_variables() -> None:
    """In Unfold and Jazzmin a state keeps its colour: each of Django's variables has a fallback."""
    css = (Path(django_docraptor.__file__).parent / "static/django_docraptor/admin.css").read_text()
    uses = re.findall(r"var\((--[\w-]+)(,?)", css)
    bare = {name for name, comma in uses if not comma and not name.startswith("--docraptor-")}
    # Only Django has the list of buttons for which these are.
    assert bare == {f"--object-tools-{part}" for part in ("fg", "bg", "hover-bg")}
    own = {name for name, _comma in uses if name.startswith("--docraptor-")}
    assert own == set(re.findall(r"^    (--docraptor-[\w-]+):", css, re.MULTILINE))


def test_unknown_state_is_shown_as_it_is() -> None:
    """A state that a newer version saved is shown as it is."""
    assert "archived" in state_badge("archived")


@pytest.mark.parametrize("state", list(State))
def test_state_badge_is_readable_without_colour(state: State) -> None:
    """A state has its word, and a sign that no other state has."""
    sign, _, word = strip_tags(state_badge(state)).partition(" ")
    assert word == str(state.label)
    assert [strip_tags(state_badge(other)).partition(" ")[0] for other in State].count(sign) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7620, "2 h 07 min"),
        (172_000, "47 h 46 min"),
        (2_678_400, "31 d 00 h"),
    ],
)
def test_duration_is_readable(seconds: float, text: str) -> None:
    """Durations have one unit or two."""
    assert format_duration(timedelta(seconds=seconds)) == text


def test_time_taken_needs_an_end() -> None:
    """The duration ends when the job is finished, or when the document is rendered."""
    job = create_admin_job(State.WORKING)
    assert format_time_taken(job) == EMPTY_VALUE
    job.rendered_at = job.created_at + timedelta(seconds=3)
    assert format_time_taken(job) == EMPTY_VALUE
    job.state = State.DOWNLOADING
    assert format_time_taken(job) == "3.0 s"
    job.finished_at = job.created_at + timedelta(seconds=5)
    assert format_time_taken(job) == "5.0 s"


def test_redact_secrets_keeps_the_rest() -> None:
    """Only secret values are hidden, at any depth, and blank values stay blank."""
    given = {"a": [{"api_key": "k", "media": "print"}], "owner_password": None, "n": 1}
    shown = redact_secrets(given)
    assert shown == {"a": [{"api_key": "••••••", "media": "print"}], "owner_password": None, "n": 1}
