"""`manage.py docraptor_prune` deletes old jobs and reports what it deleted."""

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_docraptor import registry
from django_docraptor.models import DiscardedFile, RenderInput, RenderJob
from tests.support.jobs import files_below
from tests.support.retention import DAY, finished_job, use_storage

pytestmark = pytest.mark.django_db(transaction=True)


def prune(*arguments: str) -> str:
    """Run the command and return its output."""
    out = StringIO()
    call_command("docraptor_prune", *arguments, stdout=out)
    return out.getvalue()


def set_retention(settings: Any, **retention: timedelta) -> None:
    """Set RETENTION."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETENTION": retention}


def test_older_than_takes_days(documents_dir: Path) -> None:
    """`--older-than` deletes jobs older than so many days, and the last line reports it."""
    finished_job()
    finished_job(2 * DAY)
    told = prune("--older-than", "30")
    assert told.startswith("Deleted 1 jobs, 0 stored inputs and 1 files in ")
    assert "longest transaction" in told
    assert RenderJob.objects.count() == 1


def test_retention_setting_applies_to_jobs_and_inputs(documents_dir: Path, settings: Any) -> None:
    """RETENTION sets the age of jobs and of inputs."""
    set_retention(settings, jobs=30 * DAY, inputs=DAY)
    finished_job()
    finished_job(2 * DAY)
    assert "Deleted 1 jobs, 1 stored inputs and 1 files" in prune()
    assert not RenderInput.objects.exists()


def test_document_retention_alone_is_enough(documents_dir: Path) -> None:
    """The command runs if only a document declares a retention."""
    document = type("Stub", (), {"retention": DAY})()
    registry.register("shop.Short", document)
    try:
        finished_job(document="shop.Short")
        finished_job()
        assert "Deleted 1 jobs" in prune()
        assert RenderJob.objects.get().document == ""
    finally:
        registry.unregister("shop.Short")


def test_inputs_older_than_keeps_jobs(documents_dir: Path) -> None:
    """`--inputs-older-than` deletes inputs and keeps jobs."""
    finished_job()
    assert "Deleted 0 jobs, 1 stored inputs and 0 files" in prune("--inputs-older-than", "1.5")
    assert RenderJob.objects.count() == 1


def test_document_option_limits_the_run(documents_dir: Path) -> None:
    """`--document` deletes jobs of the named documents only; a dash names jobs without one."""
    for label in ("", "shop.Gone", "shop.Other"):
        finished_job(document=label)
    told = prune("--older-than", "1", "--document", "-", "--document", "shop.Gone")
    assert "Deleted 2 jobs" in told
    assert RenderJob.objects.get().document == "shop.Other"


def test_dry_run_counts_and_deletes_nothing(documents_dir: Path) -> None:
    """`--dry-run` prints the count for each document and deletes nothing."""
    finished_job(document="shop.Gone")
    finished_job()
    told = prune("--older-than", "1", "--inputs-older-than", "1", "--dry-run")
    assert told.splitlines() == [
        "-: 1 jobs, 1 stored inputs",
        "shop.Gone: 1 jobs, 1 stored inputs",
        "Would delete 2 jobs, 2 stored inputs. Nothing was deleted.",
    ]
    assert RenderJob.objects.count() == 2
    assert len(files_below(documents_dir)) == 2


def test_max_seconds_starts_no_new_batch(documents_dir: Path) -> None:
    """After `--max-seconds` no new batch starts, and the output says that there may be more."""
    for _ in range(3):
        finished_job()
    told = prune("--older-than", "1", "--batch", "1", "--max-seconds", "0")
    assert told.startswith("Deleted 1 jobs")
    assert told.endswith("Stopped after 0 s; more may remain.\n")
    assert RenderJob.objects.count() == 2


def test_undeleted_file_fails_the_command(documents_dir: Path, settings: Any) -> None:
    """If a file was not deleted, the command reports the result and fails, so that cron mails."""
    use_storage(settings, "tests.support.retention.ReadOnlyStorage", location=documents_dir)
    finished_job()
    with pytest.raises(CommandError, match=r"failed to delete 1 files.*next run will try again"):
        prune("--older-than", "1")
    assert DiscardedFile.objects.count() == 1


def test_prune_requires_a_retention() -> None:
    """Without any retention the command fails and deletes nothing."""
    finished_job(file=False)
    with pytest.raises(CommandError, match=r"so all jobs are kept\. Set DOCRAPTOR\['RETENTION'\]"):
        prune()
    assert RenderJob.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--older-than", "-1"], "argument --older-than: '-1' is not a non-negative number"),
        (["--older-than", "soon"], "argument --older-than: 'soon' is not a non-negative number"),
        (["--older-than", "nan"], "argument --older-than: 'nan' is not a non-negative number"),
        (
            ["--older-than", "40000"],
            "argument --older-than: 40000 days is too long; the maximum is 36500",
        ),
        (
            ["--inputs-older-than", "inf"],
            "argument --inputs-older-than: 'inf' is not a non-negative number",
        ),
        (["--batch", "0"], "argument --batch: '0' is not an integer between 1 and 10000"),
        (["--batch", "1.5"], "argument --batch: '1.5' is not an integer between 1 and 10000"),
        (["--max-seconds", "x"], "argument --max-seconds: 'x' is not a non-negative number"),
        (["--document", "shop.InvoicePDFF"], "Did you mean shop.InvoicePDF"),
        (["--document", "zzz"], "there is no document 'zzz'. Registered documents: "),
    ],
)
def test_invalid_argument_is_explained(arguments: list[str], message: str) -> None:
    """The error names the option, its value and what is allowed."""
    arguments = [f"{arguments[0]}={arguments[1]}"]
    with pytest.raises(CommandError) as raised:
        prune(*arguments)
    assert message in str(raised.value)


def test_interrupted_run_can_be_continued(documents_dir: Path, monkeypatch: Any) -> None:
    """After Ctrl-C the result is printed, and the next run deletes the rest."""
    from django_docraptor import discarded_files

    def interrupt(name: str) -> bool:
        raise KeyboardInterrupt

    finished_job()
    with monkeypatch.context() as patch:
        patch.setattr(discarded_files, "_delete_file", interrupt)
        assert prune("--older-than", "1").endswith("Interrupted; more may remain.\n")
    assert len(files_below(documents_dir)) == 1
    assert "1 files" in prune("--older-than", "1")
    assert files_below(documents_dir) == []
