"""The report of an erasure, as text and as JSON."""

from datetime import UTC, datetime

from django_docraptor import ErasureReport
from django_docraptor.erasure_reports import TITLES, Remaining

AT = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)


def make_report(**values: object) -> ErasureReport:
    """Return a report with something of everything."""
    left = Remaining(kind="files", count=2, reason="The storage is down.", next_try=AT)
    return ErasureReport(
        **{
            "subject": "owner 17",
            "at": AT,
            "erased": {"jobs": 1200, "sending": 2, "unreachable": 1},
            "remaining": (left,),
            "second_look": 3,
            **values,
        }  # type: ignore[arg-type] # values of any field
    )


def test_text_names_every_kind_and_what_remains() -> None:
    """Each kind has a line; what remains has its reason and the next try."""
    text = str(make_report())
    assert text.startswith("Erasure of owner 17, 2026-11-28 12:30 UTC\n\nErased:\n    1,200  jobs")
    assert all(title in text for title in TITLES.values())
    assert "  - stored files: 2. The storage is down. Next try: 2026-11-28 12:30 UTC.\n" in text
    assert "* 2 of the jobs were being sent" in text
    assert "* 1 of them are hosted" in text
    assert "* 3 jobs are looked through once more" in text


def test_json_has_the_same() -> None:
    """The JSON has numbers by kind, reasons and times."""
    data = make_report().to_json()
    assert data["kinds"]["jobs"] == {"title": TITLES["jobs"], "erased": 1200, "remaining": 0}
    assert data["kinds"]["files"]["remaining"] == 2
    assert data["remaining"][0]["next_try"] == "2026-11-28T12:30:00+00:00"
    assert not data["is_complete"]
    assert make_report(remaining=()).is_complete
    assert not make_report(remaining=(), dry_run=True).is_complete
