"""``manage.py docraptor_prune``: old jobs go, and it says so."""

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_docraptor import registry
from django_docraptor.models import DiscardedFile, RenderInput, RenderJob
from tests.test_retention import DAY, files, finished, use

pytestmark = pytest.mark.django_db(transaction=True)


def prune(*arguments: str) -> str:
    """Run the command; return what it printed."""
    out = StringIO()
    call_command("docraptor_prune", *arguments, stdout=out)
    return out.getvalue()


def retain(settings: Any, **retention: timedelta) -> None:
    """Set RETENTION."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETENTION": retention}


def test_older_than(documents: Path) -> None:
    """Days on the command line, and a closing line."""
    finished()
    finished(2 * DAY)
    told = prune("--older-than", "30")
    assert told.startswith("Removed 1 jobs, 0 stored inputs, 1 files in ")
    assert "longest transaction" in told
    assert RenderJob.objects.count() == 1


def test_by_settings(documents: Path, settings: Any) -> None:
    """RETENTION says it for both."""
    retain(settings, jobs=30 * DAY, inputs=DAY)
    finished()
    finished(2 * DAY)
    assert "Removed 1 jobs, 1 stored inputs, 1 files" in prune()
    assert not RenderInput.objects.exists()


def test_by_a_document_alone(documents: Path) -> None:
    """A document's own retention is enough to run."""
    recipe = type("Recipe", (), {"retention": DAY})()
    registry.register("shop.Short", recipe)
    try:
        finished(document="shop.Short")
        finished()
        assert "Removed 1 jobs" in prune()
        assert RenderJob.objects.get().document == ""
    finally:
        registry.unregister("shop.Short")


def test_inputs_alone(documents: Path) -> None:
    """The jobs stay."""
    finished()
    assert "Removed 0 jobs, 1 stored inputs, 0 files" in prune("--inputs-older-than", "1.5")
    assert RenderJob.objects.count() == 1


def test_documents(documents: Path) -> None:
    """Only those that are named; a dash is for jobs without one."""
    for label in ("", "shop.Gone", "shop.Other"):
        finished(document=label)
    told = prune("--older-than", "1", "--document", "-", "--document", "shop.Gone")
    assert "Removed 2 jobs" in told
    assert RenderJob.objects.get().document == "shop.Other"


def test_dry_run(documents: Path) -> None:
    """It counts for each document, and removes nothing."""
    finished(document="shop.Gone")
    finished()
    told = prune("--older-than", "1", "--inputs-older-than", "1", "--dry-run")
    assert told.splitlines() == [
        "-: 1 jobs, 1 stored inputs",
        "shop.Gone: 1 jobs, 1 stored inputs",
        "Would remove 2 jobs, 2 stored inputs. Nothing was removed.",
    ]
    assert RenderJob.objects.count() == 2
    assert len(files(documents)) == 2


def test_max_seconds(documents: Path) -> None:
    """Past its time it begins no batch, and says that there may be more."""
    for _ in range(3):
        finished()
    told = prune("--older-than", "1", "--batch", "1", "--max-seconds", "0")
    assert told.startswith("Removed 1 jobs")
    assert told.endswith("Stopped after 0 s; there may be more.\n")
    assert RenderJob.objects.count() == 2


def test_a_storage_that_refuses(documents: Path, settings: Any) -> None:
    """It fails, after saying what was removed, so that cron tells somebody."""
    use(settings, "tests.test_retention.Refusing", location=documents)
    finished()
    with pytest.raises(CommandError, match=r"did not delete 1 files.*next run tries them again"):
        prune("--older-than", "1")
    assert DiscardedFile.objects.count() == 1


def test_without_a_word() -> None:
    """Nothing is removed by guess."""
    finished(file=False)
    with pytest.raises(CommandError, match=r"so all are\. Set DOCRAPTOR\['RETENTION'\]"):
        prune()
    assert RenderJob.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--older-than", "-1"], "argument --older-than: '-1' must be a number, 0 or more"),
        (["--older-than", "soon"], "argument --older-than: 'soon' must be a number, 0 or more"),
        (["--older-than", "nan"], "argument --older-than: 'nan' must be a number, 0 or more"),
        (["--older-than", "40000"], "argument --older-than: 40000 days: no more than 36500"),
        (["--inputs-older-than", "inf"], "argument --inputs-older-than: 'inf' must be a number"),
        (["--batch", "0"], "argument --batch: '0' must be a whole number, 1 to 10000"),
        (["--batch", "1.5"], "argument --batch: '1.5' must be a whole number, 1 to 10000"),
        (["--max-seconds", "x"], "argument --max-seconds: 'x' must be a number, 0 or more"),
        (["--document", "shop.InvoicePDFF"], "Did you mean shop.InvoicePDF"),
        (["--document", "zzz"], "no job and no app has a document 'zzz'. Known are: "),
    ],
)
def test_bad_input(arguments: list[str], message: str) -> None:
    """The option, the value, and what would do."""
    arguments = [f"{arguments[0]}={arguments[1]}"]
    with pytest.raises(CommandError) as raised:
        prune(*arguments)
    assert message in str(raised.value)


def test_an_interrupted_run(documents: Path, monkeypatch: Any) -> None:
    """Ctrl-C between two files: the closing line comes, and the next run ends the work."""
    from django_docraptor import retention

    def interrupt(name: str) -> bool:
        raise KeyboardInterrupt

    finished()
    with monkeypatch.context() as patch:
        patch.setattr(retention, "_is_gone", interrupt)
        assert prune("--older-than", "1").endswith("Stopped; there may be more.\n")
    assert len(files(documents)) == 1
    assert "1 files" in prune("--older-than", "1")
    assert files(documents) == []
