"""`manage.py docraptor_usage` prints a month's usage, and compares it with DocRaptor's log."""

import csv
import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from django_docraptor.billing import COUNTERS
from django_docraptor.lifecycle import bill
from django_docraptor.management.commands import docraptor_usage
from django_docraptor.models import Account, RenderEvent, UsageDay
from django_docraptor.sandbox import Sandbox
from tests.support.jobs import enqueue, run_until_finished, wait_for_renders
from tests.support.sandbox_client import SandboxClient
from tests.support.usage import used_job

pytestmark = pytest.mark.django_db(transaction=True)


def usage(*arguments: str) -> tuple[str, int]:
    """Run the command; return its output and exit status."""
    out = StringIO()
    try:
        call_command("docraptor_usage", *arguments, stdout=out, stderr=StringIO(), no_color=True)
    except SystemExit as stop:
        return out.getvalue(), int(stop.code or 0)
    return out.getvalue(), 0


def test_table_has_a_line_for_each_and_a_total() -> None:
    """The default is the current month, by document."""
    used_job(document="shop.Invoice")
    used_job(test=True)
    text, code = usage()
    rows = [line.split() for line in text.splitlines()]
    assert code == 0
    assert rows[0][0] == f"{datetime.now(UTC):%Y-%m},"
    assert rows[2] == ["shop.Invoice", "1", "0", "1", "0", "0", "0", "3", "1,000"]
    assert rows[3] == ["-", "0", "1", "0", "0", "0", "0", "3", "1,000"]
    assert rows[4] == ["total", "1", "1", "1", "0", "0", "0", "6", "2,000"]


def test_large_numbers_stay_apart() -> None:
    """A column that is wider than usual does not touch the one before it."""
    used_job(file_size=10**14, number_of_pages=10**9)
    text, _code = usage()
    assert text.splitlines()[2].split()[-2:] == ["1,000,000,000", "100,000,000,000,000"]


def test_month_is_in_utc() -> None:
    """A document of the last minute of a month, in UTC, belongs to it."""
    used_job()
    RenderEvent.objects.update(at=datetime(2026, 2, 28, 23, 59, tzinfo=UTC))
    for month, billed in (("2026-02", 1), ("2026-03", 0)):
        text, _code = usage("--month", month, "--by", "day", "--format", "json")
        assert json.loads(text)["total"]["billed"] == billed
    assert UsageDay.objects.count() == 1  # the command has summed it up


@pytest.mark.parametrize("month", ["2026", "2026-13", "2026-1", "0000-01", "November"])
def test_month_that_is_none_is_refused(month: str) -> None:
    """The error names the option, the value and the form."""
    with pytest.raises(CommandError, match=f"--month.*'{month}' is not a month, such as 2026-11"):
        usage("--month", month)


@pytest.mark.parametrize("by", ["account", "document", "owner", "day"])
def test_csv_is_safe_and_has_the_same_numbers(by: str) -> None:
    """A label that begins like a formula is text; the last line is the total."""
    ada = User.objects.create_user("ada")
    used_job(document="=HYPERLINK()", account="+acme", owner=ada)
    rows = list(csv.reader(StringIO(usage("--by", by, "--format", "csv")[0])))
    data = json.loads(usage("--by", by, "--format", "json")[0])
    assert rows[0] == [by, *docraptor_usage.COLUMNS]
    assert not rows[1][0].startswith(("=", "+"))
    assert rows[1][1:] == [str(data["lines"][0][name]) for name in rows[0][1:]]
    assert rows[2][1:] == [str(data["total"][name]) for name in rows[0][1:]]
    assert data["lines"][0][by].lstrip("=+")


def test_account_is_chosen() -> None:
    """An account without usage is refused; the others are left out."""
    used_job(account="acme")
    used_job()
    with pytest.raises(CommandError, match="no account 'acm'"):
        usage("--account", "acm")
    Account.objects.create(name="acme")
    data = json.loads(usage("--account", "acme", "--format", "json")[0])
    assert data["total"]["billed"] == 1


def test_labels_do_not_control_a_terminal() -> None:
    """What a terminal would obey is printed as a space."""
    used_job(document="a\x1b[2Jb")
    assert "\x1b" not in usage()[0]


def test_bill_agrees(sandbox: Sandbox, documents_dir: Any) -> None:
    """The last line is the figure; the exit status is 0."""
    run_until_finished(enqueue(test=False))
    text, code = usage("--reconcile")
    assert text.splitlines()[-1] == "billed by DocRaptor 1 - accounted for by us 1 = 0"
    assert code == 0


def test_bill_differs(sandbox: Sandbox, documents_dir: Any, settings: Any) -> None:
    """Each difference is a line; the exit status is 1, also if they add up to nothing."""
    run_until_finished(enqueue(test=False))
    client = SandboxClient(sandbox.url, (settings.DOCRAPTOR["API_KEY"], ""))
    client.create(name="their\x1bs.pdf", tag="theirs", test=False)
    wait_for_renders()
    text, code = usage("--reconcile", "--account", "default")
    assert "+1  theirs" in text
    assert "their s.pdf: billed, but not sent by a job" in text
    assert text.splitlines()[-1] == "billed by DocRaptor 2 - accounted for by us 1 = 1"
    assert code == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(bill.MEANINGS, bill.Kind.FOREIGN, (0, "not ours"))
        assert usage("--reconcile")[1] == 1


def test_bill_as_csv_and_json(sandbox: Sandbox, documents_dir: Any, settings: Any) -> None:
    """Each difference is a line, and no cell a formula; the exit status is as for the table."""
    tag = f"{used_job().pk.hex}:1"
    run_until_finished(enqueue(test=False))
    client = SandboxClient(sandbox.url, (settings.DOCRAPTOR["API_KEY"], ""))
    client.create(name="ours.pdf", tag=tag, test=True)
    client.create(name="=1+1", tag="theirs", test=False)
    wait_for_renders()
    text, code = usage("--reconcile", "--format", "csv")
    lines = [*csv.DictReader(StringIO(text))]
    assert [(line["kind"], line["amount"], line["name"]) for line in lines] == [
        ("free_there", "-1", ""),
        ("foreign", "1", "'=1+1"),
    ]
    assert [line["tag"] for line in lines] == [tag, "theirs"]
    assert code == 1
    text, code = usage("--reconcile", "--format", "json", "--month", f"{datetime.now(UTC):%Y-%m}")
    data = json.loads(text)
    assert (data["billed"], data["accounted"], data["difference"]) == (2, 2, 0)
    assert data["keys"][0]["accounts"] == ["default"]
    assert [each["name"] for each in data["keys"][0]["differences"]][-1] == "=1+1"
    assert code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reconcile", "--by", "day"], "--by does not go with --reconcile"),
        (["--reconcile", "--days", "3", "--month", "2026-01"], "--month or --days, not both"),
        (["--reconcile", "--month", "9999-12"], "9999-12 has not begun"),
        (["--days", "3"], "--days goes with --reconcile only"),
        (["--timeout", "3"], "--timeout goes with --reconcile only"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], message: str) -> None:
    """Nothing is left out in silence."""
    with pytest.raises(CommandError, match=message):
        usage(*arguments)


def test_blank_account_is_not_all_accounts() -> None:
    """Such as a variable that is not set: the sum of all would be taken for that of one."""
    used_job()
    for arguments in ([], ["--reconcile"]):
        with pytest.raises(CommandError, match="There is no account ''"):
            usage("--account", "", *arguments)


@pytest.mark.parametrize("month", ["0001-01", "1999-12"])
def test_month_before_docraptor_has_no_difference(sandbox: Sandbox, month: str) -> None:
    """There was nothing to bill."""
    text, code = usage("--reconcile", "--month", month)
    assert text.splitlines()[-1] == "billed by DocRaptor 0 - accounted for by us 0 = 0"
    assert code == 0


@pytest.mark.parametrize("form", ["csv", "json"])
def test_bill_that_cannot_be_read_is_told_in_each_format(settings: Any, form: str) -> None:
    """An error is no agreement, for a program either."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"API_KEY": ""}
    text, code = usage("--reconcile", "--format", form)
    assert "provides no key" in text
    assert code == 1


def test_bill_that_cannot_be_read_fails(sandbox: Sandbox, settings: Any) -> None:
    """An error is no agreement."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"API_KEY": ""}
    text, code = usage("--reconcile", "--days", "1e300")
    assert "not complete: DOCRAPTOR['API_KEY'] provides no key" in text
    assert code == 1


def test_counters_have_their_titles() -> None:
    """A new counter needs a column."""
    assert len(docraptor_usage.COLUMNS) == len(docraptor_usage.TITLES)
    assert ("live", "test", *COUNTERS[1:]) == docraptor_usage.COLUMNS
