"""Internal. Groups: give each its outcome and its file when its last job is final, then tell it.

A due group is claimed with a lease, as a job is. The worker reads the states of its jobs; what
follows is written only if the claim is still valid. A retry, a deletion or an erasure of one
of its documents ends the claim. So there is exactly one file, whichever processes die.
"""

import logging
import time
from pathlib import Path
from typing import Any, Final

from django.core.files import File
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils.translation import pgettext

from django_docraptor import discarded_files, spool
from django_docraptor.conf import conf
from django_docraptor.instrumentation import raised_at
from django_docraptor.lifecycle.merging import (
    ClaimLostError,
    GoOn,
    MergeError,
    called,
    write_pdf,
    write_zip,
)
from django_docraptor.lifecycle.patience import backoff_delay
from django_docraptor.lifecycle.stored_files import (
    delete_stored,
    delete_unless_referenced,
    name_to_delete,
    stored_name_problem,
)
from django_docraptor.models import (
    SIGNAL_LEASE_SECONDS,
    GroupState,
    Heartbeat,
    RenderGroup,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.models.group_progress import GroupProgress
from django_docraptor.models.groups import Merge, OnFailure
from django_docraptor.names import storage_name
from django_docraptor.signals import group_completed, send_to_all
from django_docraptor.states import MAX_LAPSED_CLAIMS, STORE_LEASE_SECONDS, State
from django_docraptor.storage import get_storage

logger = logging.getLogger(__name__)

# Seconds after which a run leaves the remaining groups to the next one.
RUN_SECONDS: Final = 5.0
# Seconds of a claim, and after which it is renewed while a file is made.
LEASE_SECONDS: Final = 600.0
RENEWAL_SECONDS: Final = 60.0
# Longest back-off in seconds.
MAX_BACKOFF_SECONDS: Final = 3600.0
KILLED = (
    "{} workers in a row died or hung while they made the file of this group. The workers' log may "
    "have the reason, such as too little memory."
)


def merge_groups() -> int:
    """Work on the groups that are due, one after the other.

    Returns:
        The number of claimed groups.
    """
    count, stop = 0, time.monotonic() + RUN_SECONDS
    while time.monotonic() < stop and (group := RenderGroup.claim_next(lease=LEASE_SECONDS)):
        work_on(group)
        count += 1
    return count


def work_on(group: RenderGroup) -> None:
    """Do what is next for a claimed group."""
    if group.is_final:
        tell(group)
        return
    if group.lapsed_claims >= MAX_LAPSED_CLAIMS:
        give_up(group, KILLED.format(group.lapsed_claims))
        return
    progress = group.progress()
    if progress.outcome == GroupState.WORKING:
        group.update_leased(due_at=group.next_check(), lease_token="", lapsed_claims=0)
        # The last job may have ended since they were counted.
        RenderGroup.make_due_if_finished(group.pk)
    elif _needs_file(group, progress):
        make_file(group, progress)
    else:
        settle(group, progress.outcome)


def _needs_file(group: RenderGroup, progress: GroupProgress) -> bool:
    if not group.merge or not progress.completed:
        return False
    return progress.outcome == GroupState.COMPLETED or group.on_failure == OnFailure.PARTIAL


def make_file(group: RenderGroup, progress: GroupProgress) -> None:
    """Make the file of a group in the spool directory, store it, and settle the group."""
    try:
        with spool.scratch_file(_storage_name(group), group.lease_token) as path:
            _write(group, progress, path)
            _store(group, progress.outcome, path)
    except ClaimLostError as error:
        logger.info("Group %s: %s", group.pk, error)
        group.update_leased(due_at=Now(), lease_token="")
    except MergeError as error:
        give_up(group, str(error))
    except Exception as error:  # noqa: BLE001 - storages raise whatever their library raises
        logger.error("Group %s: the file could not be made: %s", group.pk, raised_at(error))
        postpone(group, error)


def _write(group: RenderGroup, progress: GroupProgress, path: Path) -> None:
    completed = group.jobs.filter(state=State.COMPLETED).order_by("group_position")
    sizes = dict(completed.values_list("pk", "file_size"))
    copies = 1 if group.merge == Merge.ZIP else 3
    spool.ensure_free_space(copies * sum(size or 0 for size in sizes.values()))
    if group.merge == Merge.ZIP:
        write_zip(group, list(sizes), _missing_lines(group, progress), path, _renewal(group))
    else:
        write_pdf(group, list(sizes), path, _renewal(group))


def _missing_lines(group: RenderGroup, progress: GroupProgress) -> list[str]:
    """Return a line for each document that is not in the file: for customers, without errors."""
    others = group.jobs.exclude(state=State.COMPLETED).order_by("group_position")
    lines = [f"{called(job)}: {job.get_state_display()}" for job in others.only("name", "state")]
    deleted = pgettext("state", "deleted")
    return lines + ([f"{progress.missing}: {deleted}"] if progress.missing else [])


def _renewal(group: RenderGroup) -> GoOn:
    """Return what renews the claim from time to time."""
    renewed_at = time.monotonic()

    def renew() -> None:
        nonlocal renewed_at
        if time.monotonic() - renewed_at < RENEWAL_SECONDS:
            return
        renewed_at = time.monotonic()
        if not group.update_leased(due_at=seconds_from_now(LEASE_SECONDS)):
            raise ClaimLostError("Another process has the group.")

    return renew


def _storage_name(group: RenderGroup) -> str:
    return storage_name(group.pk, group.revision, group.merge, group.created_at)


def _store(group: RenderGroup, outcome: GroupState, path: Path) -> None:
    """Save the file to the storage, under a name that the row has reserved."""
    name, may_have_file = _storage_name(group), bool(group.reserved_name)
    due_at = seconds_from_now(STORE_LEASE_SECONDS)
    if not group.update_leased(reserved_name=name, due_at=due_at):
        raise ClaimLostError("Another process has the group.")
    storage = get_storage(group.storage)
    size, sha256 = spool.size_and_sha256(path)
    if may_have_file:
        delete_stored(group, name)
    with path.open("rb") as file:
        stored: object = storage.save(name, File(file, name=name))
    if problem := stored_name_problem(stored):
        discarded_files.discard(name_to_delete(stored, name), group.storage)
        raise MergeError(problem)
    columns = {"file": stored, "reserved_name": "", "file_size": size, "sha256": sha256}
    if not settle(group, outcome, **columns):
        delete_unless_referenced(group, str(stored))


def settle(group: RenderGroup, state: GroupState, **columns: Any) -> bool:
    """Give a claimed group its outcome, and tell it.

    Args:
        columns: other columns to set by the same UPDATE.

    Returns:
        Whether the claim was still valid.
    """
    is_settled = group.update_leased(
        **{"errors": "", "failures": 0, "failing_since": None, "lapsed_claims": 0, **columns},
        state=state,
        finished_at=Now(),
        due_at=seconds_from_now(SIGNAL_LEASE_SECONDS),
    )
    if is_settled:
        logger.info("Group %s: %s", group.pk, state.value)
        tell(group)
    return is_settled


def tell(group: RenderGroup) -> None:
    """Send the signal of a group that has its outcome, then mark it as sent.

    If the worker dies in between, the group is due again.
    """
    if group.lapsed_claims >= MAX_LAPSED_CLAIMS:
        what = f"receivers of group_completed of group {group.pk}"
        Heartbeat.record_giving_up(f"{what}, after {group.lapsed_claims} workers died or hung")
        logger.error("Gave up the %s", what)
    else:
        subject = f"Group {group.pk}"
        for name, error in send_to_all(group_completed, RenderGroup, subject=subject, group=group):
            logger.error("Group %s: receiver %s raised", group.pk, name, exc_info=error)
    group.update_leased(due_at=None, lease_token="", lapsed_claims=0)


def postpone(group: RenderGroup, error: Exception) -> None:
    """Try again later; after ``RETRY_FOR``, give up."""
    text = f"{type(error).__name__}: {error}"
    rows = RenderGroup.objects.filter(pk=group.pk)
    if rows.filter(failing_since__lte=seconds_from_now(-conf.retry_for)).exists():
        give_up(group, text)
        return
    delay = backoff_delay(group.failures + 1, maximum=MAX_BACKOFF_SECONDS)
    group.update_leased(
        errors=text,
        failures=F("failures") + 1,
        failing_since=Coalesce("failing_since", Now()),
        due_at=seconds_from_now(delay),
        lease_token="",
        lapsed_claims=0,
    )


def give_up(group: RenderGroup, errors: str) -> None:
    """Fail a group whose file cannot be made: a person decides."""
    logger.error("Group %s: gave up its file; the group has the errors", group.pk)
    Heartbeat.record_giving_up(f"the file of group {group.pk}")
    settle(group, GroupState.FAILED, errors=errors)
