"""`manage.py docraptor_erase` erases what its options name, and reports what is left."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_docraptor.models import RenderJob
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue
from tests.support.person import CANARY, create_person, traces
from tests.support.retention import use_storage
from tests.support.stored_files import completed_job

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    """Run the command and return its output."""
    out = StringIO()
    call_command("docraptor_erase", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_owner_is_erased_and_the_report_says_what(documents_dir: Path) -> None:
    """The report has a line for each kind, what remains, and what this site cannot reach."""
    person = create_person()
    completed_job(owner=person, name=CANARY)
    text = run("--owner", str(person.pk))
    assert f"Erasure of owner {person.pk}" in text
    assert "        1  stored files" in text
    assert "Remaining:\n  nothing" in text
    assert "data retention period of your account" in text
    assert "looked through once more" in text
    assert not list(traces(documents_dir))


def test_source_is_named_by_its_model_and_key(documents_dir: Path) -> None:
    """A source is given as app.model:key, also if it was deleted."""
    invoice = Invoice.objects.create(number="17")
    enqueue(source=invoice)
    key = invoice.pk
    invoice.delete()
    assert f"Erasure of source shop.Invoice {key}" in run("--source", f"shop.invoice:{key}")
    assert RenderJob.objects.get().erased_at is not None


def test_dry_run_erases_nothing() -> None:
    """With `--dry-run` the numbers are told and nothing is done."""
    person = create_person()
    enqueue(owner=person)
    text = run("--owner", str(person.pk), "--dry-run")
    assert "Would erase:\n        1  jobs" in text
    assert "Remaining" not in text
    assert RenderJob.objects.get().erased_at is None


def test_json() -> None:
    """The JSON has the same numbers, by kind."""
    person = create_person()
    enqueue(owner=person)
    report = json.loads(run("--owner", str(person.pk), "--format", "json"))
    assert (report["subject"], report["is_complete"]) == (f"owner {person.pk}", True)
    assert report["kinds"]["jobs"]["erased"] == report["kinds"]["cancelled"]["erased"] == 1
    assert report["kinds"]["files"] == {"title": "stored files", "erased": 0, "remaining": 0}
    assert (report["remaining"], report["second_look"]) == ([], 1)


def test_what_was_not_reached_is_an_error(documents_dir: Path, settings: Any) -> None:
    """The exit status is 1 while something remains; the report is printed all the same."""
    person = create_person()
    completed_job(owner=person)
    use_storage(settings, "tests.support.retention.ReadOnlyStorage", location=documents_dir)
    out = StringIO()
    with pytest.raises(CommandError, match="Not everything was reached yet"):
        call_command("docraptor_erase", "--owner", str(person.pk), "--format", "json", stdout=out)
    (remaining,) = json.loads(out.getvalue())["remaining"]
    assert (remaining["kind"], remaining["count"]) == ("files", 1)
    assert "The storage did not delete them." in remaining["reason"]
    assert remaining["next_try"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments --owner --source is required"),
        (["--owner", "1", "--source", "shop.Invoice:1"], "not allowed with argument"),
        (["--owner", "anna"], "'anna' is no primary key of auth.User"),
        (["--source", "shop.Invoice"], "must be like shop.Invoice:17"),
        (["--source", "shopp.Invoice:1"], "Did you mean shop"),
        (["--source", "shop.Invoic:1"], "Did you mean Invoice"),
        (["--source", "shop.Invoice:x"], "'x' is not a valid primary key of shop.Invoice"),
        (["--owner", "9" * 30], "is no primary key of auth.User"),
        (["--source", f"shop.Invoice:{'9' * 30}"], "is not a valid primary key of shop.Invoice"),
    ],
)
def test_wrong_options(arguments: list[str], message: str) -> None:
    """The error names the option and the remedy."""
    with pytest.raises(CommandError, match=message):
        run(*arguments)
