"""Break a guard, and see a named test fail: ``python -m tests.mutants``.

Each mutation is made in a copy of the tree. Prints a table; exits 1 if a mutant survives.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutation:
    """A guard, how to break it, and the test that must notice."""

    name: str
    file: str
    old: str
    new: str
    test: str
    # A second guard that covers the same case, broken together with the first.
    also: tuple[str, str] | None = None


LIFE = "tests/lifecycle"
MUTATIONS = [
    Mutation(
        "drop the state from the UPDATE's WHERE",
        "models/jobs.py",
        "filter(pk=self.pk, state=from_state, attempt=self.attempt)",
        "filter(pk=self.pk, attempt=self.attempt)",
        "tests/models/test_jobs.py",
    ),
    Mutation(
        "drop the attempt from the UPDATE's WHERE",
        "models/jobs.py",
        "filter(pk=self.pk, state=from_state, attempt=self.attempt)",
        "filter(pk=self.pk, state=from_state)",
        f"{LIFE}/test_submission.py::test_S16_a_late_answer_while_the_next_is_under_way",
    ),
    Mutation(
        "forget the lease token",
        "models/jobs.py",
        "rows = rows.filter(lease_token=self.lease_token)",
        "pass",
        f"{LIFE}/test_polling.py::test_poll_never_holds_a_lease_after_it_ended",
    ),
    Mutation(
        "claim without re-checking that the row is due",
        "models/querysets.py",
        "due = self.filter(pk__in=keys).due()",
        "due = self.filter(pk__in=keys)",
        "tests/models/test_querysets.py::test_claim_skips_a_row_changed_since_it_was_read",
    ),
    Mutation(
        "claim a row that a callback has touched since it was read",
        "models/jobs.py",
        "            callback_at__isnull=self.callback_at is None,\n",
        "",
        "tests/models/test_querysets.py::test_claim_skips_a_row_changed_since_it_was_read",
    ),
    Mutation(
        "claim the jobs of a paused account",
        "models/querysets.py",
        "if not any(getattr(row, \"is_account_paused\", False) for row in rows):",
        "if True:",
        "tests/models/test_querysets.py::test_claim_skips_paused_accounts",
    ),
    Mutation(
        "keep a finished document without counting its download",
        "lifecycle/downloading.py",
        "\"download_attempts\": job.download_attempts + 1,",
        "\"download_attempts\": job.download_attempts,",
        f"{LIFE}/test_collection.py",
    ),
    Mutation(
        "post before the intent is committed",
        "lifecycle/submission.py",
        ", durable=True",
        "",
        f"{LIFE}/test_submission.py::test_prepare_is_no_part_of_a_transaction",
    ),
    Mutation(
        "send although the process stood still since the intent",
        "lifecycle/submission.py",
        "if time.monotonic() - self.intended_at > conf.deadline:",
        "if False:",
        f"{LIFE}/test_submission.py::test_S16_a_worker_that_stood_still_sends_nothing",
    ),
    Mutation(
        "send again what may have been accepted",
        "lifecycle/submission.py",
        "        unconfirmed(job, error)\n",
        "        not_now(job, error)\n",
        f"{LIFE}/test_submission.py::test_S5_S7_S8_S9_S10_the_answer_is_lost",
    ),
    Mutation(
        "a lapsed create goes back to pending",
        "lifecycle/schedule.py",
        "State.UNCONFIRMED,\n            kind=EventKind.UNCONFIRMED,",
        "State.PENDING,\n            kind=EventKind.UNCONFIRMED,",
        f"{LIFE}/test_crashes.py::test_C4_S1_S2_killed_while_submitting",
    ),
    Mutation(
        "let a job's trouble stop its batch",
        "lifecycle/pacing.py",
        "except Exception as error:  # noqa: BLE001 - one job's trouble, whatever it is",
        "except ZeroDivisionError as error:",
        f"{LIFE}/test_alone.py::test_a_job_whose_answer_cannot_be_written",
    ),
    Mutation(
        "claim what has killed a worker together with others",
        "lifecycle/submission.py",
        "if lapsed is not None and wanted > 0:",
        "if False:",
        f"{LIFE}/test_alone.py::test_a_template_that_kills_its_worker",
    ),
    Mutation(
        "send anew although a callback came while it waited",
        "lifecycle/submission.py",
        "if job.attempt and job.callback_at:",
        "if False:",
        f"{LIFE}/test_reconciliation.py::test_a_callback_before_the_next_attempt",
    ),
    Mutation(
        "intend to send whatever became known since the claim",
        "lifecycle/submission.py",
        "condition=NOT_PROVEN,",
        "",
        f"{LIFE}/test_reconciliation.py::test_a_callback_between_claim_and_intent",
    ),
    Mutation(
        "count downloads only where somebody lives to tell",
        "lifecycle/downloading.py",
        "if not is_spooled and spent >= MAX_DOWNLOADS:",
        "if False:",
        f"{LIFE}/test_collection.py::test_workers_that_die_while_they_download",
    ),
    Mutation(
        "read where the router reads",
        "models/managers.py",
        "rows if self._db else rows.using(router.db_for_write(self.model))",
        "rows",
        "tests/models/test_managers.py::test_engine_completes_jobs_despite_a_replica",
    ),
    Mutation(
        "send an order that was renewed as it was before",
        "lifecycle/composition.py",
        "stored.refresh_from_db()",
        "pass",
        "tests/documents/test_triggers.py::test_a_renewed_order_is_sent_as_it_is_now",
    ),
    Mutation(
        "give somebody's document to who saves",
        "shortcuts.py",
        "job.owner_id in (None, new_job.owner_id) and",
        "",
        "tests/documents/test_triggers.py::test_nobody_loses_a_document_by_a_save",
    ),
    Mutation(
        "conclude absence from one early look",
        "lifecycle/reconciliation.py",
        "window = 2 * max(conf.deadline, MAX_RENDER_SECONDS)",
        "window = 1",
        f"{LIFE}/test_submission.py::test_S10_nothing_is_sent_twice_before_the_window_ends",
    ),
    Mutation(
        "resubmit although a callback proves acceptance",
        "lifecycle/reconciliation.py",
        "if policy == HOLD or job.callback_at is not None:",
        "if policy == HOLD:",
        f"{LIFE}/test_hints.py::test_W3_proof_outweighs_the_log",
    ),
    Mutation(
        "trust the callback: completed without asking",
        "lifecycle/callbacks.py",
        "callback_at__isnull=True)",
        ")",
        f"{LIFE}/test_hints.py::test_W5_replay",
    ),
    Mutation(
        "a callback leaves a stale poll its lease",
        "lifecycle/callbacks.py",
        "due_at=Now(), lease_token=\"\")",
        "due_at=Now())",
        f"{LIFE}/test_hints.py::test_W1_a_poll_under_way_loses_no_wake_up",
    ),
    Mutation(
        "ignore Content-Length and a cut body's end",
        "spool.py",
        'return b"%PDF-" in head and b"%%EOF" in tail',
        'return b"%PDF-" in head',
        f"{LIFE}/test_collection.py::test_D3_D4_never_half_a_document",
    ),
    Mutation(
        "store whatever came with status 200",
        "spool.py",
        "if not IS_VALID_BY_TYPE[document_type](path):",
        "if False:",
        f"{LIFE}/test_collection.py::test_D7_not_a_document",
    ),
    Mutation(
        "download again although the spool has it",
        "lifecycle/downloading.py",
        "if not is_spooled and not fetch(job, path, spent):",
        "if not fetch(job, path, spent):",
        f"{LIFE}/test_collection.py::test_F1_storage_down",
    ),
    Mutation(
        "leave the file of a job that moved on",
        "lifecycle/downloading.py",
        "        job.file.storage.delete(saved)\n",
        "        pass\n",
        f"{LIFE}/test_collection.py::test_F5_cancelled_while_saving",
    ),
    Mutation(
        "do not remove what a killed save left",
        "lifecycle/downloading.py",
        "            job.file.storage.delete(name)\n",
        "            pass\n",
        f"{LIFE}/test_crashes.py::test_D1_D2_F2_killed_while_collecting",
    ),
    Mutation(
        "fail jobs for a rejected key",
        "lifecycle/submission.py",
        "        back_to_pending(job, error, ACCOUNT_PAUSE_SECONDS, counted=False)\n",
        "        fail(job, ErrorCode.REJECTED, error.message)\n",
        f"{LIFE}/test_submission.py::test_S12_wrong_key_pauses_the_account",
    ),
    Mutation(
        "admit without counting what is in flight",
        "lifecycle/submission.py",
        "free = conf.max_in_flight - account.in_flight",
        "free = conf.max_in_flight",
        f"{LIFE}/test_submission.py::test_S17_two_processes_share_the_cap",
    ),
    Mutation(
        "follow redirects",
        "client/transport.py",
        "allow_redirects=False",
        "allow_redirects=True",
        "tests/client/test_calls.py",
        ("def get_redirect_target", "def _unused"),
    ),
    Mutation(
        "trust the environment's netrc and proxies",
        "client/transport.py",
        "session.trust_env = False",
        "session.trust_env = True",
        "tests/client/test_calls.py",
    ),
    Mutation(
        "accept callback tokens of any signer",
        "callback_urls.py",
        "job_id, _, attempt = _signer().unsign(token, max_age=TOKEN_MAX_AGE).partition(\"-\")",
        "job_id, _, attempt = token.split(\".\")[0].partition(\"-\")",
        "tests/test_callback_urls.py",
    ),
    Mutation(
        "any logged-in user may download",
        "models/jobs.py",
        "return self.owner_id == user.pk or has_perm(\"django_docraptor.view_renderjob\")",
        "return True",
        "tests/views/test_downloads.py",
    ),
    Mutation(
        "bill a document again when its page is loaded again",
        "responses/idempotency.py",
        "return replace(spec, idempotency_key=f\"{key}:{generation}\")",
        "return spec",
        "tests/responses/test_idempotency.py",
    ),
    Mutation(
        "let an owner try again what may be on the bill",
        "views/pages.py",
        "is_free = job.test or job.resume_state is not None or not job.may_have_been_billed",
        "is_free = True",
        "tests/views/test_pages.py",
    ),
    Mutation(
        "run scripts in a preview",
        "views/documents.py",
        "response[\"Content-Security-Policy\"] = PREVIEW_POLICY",
        "pass",
        "tests/views/test_documents.py",
    ),
    Mutation(
        "forget the signal that a dead process did not send",
        "lifecycle/schedule.py",
        "return sum((_lapsed_creates(), _unsent_signals()))",
        "return _lapsed_creates()",
        f"{LIFE}/test_crashes.py::test_killed_before_the_signal",
    ),
    Mutation(
        "publish what was ordered as private",
        "lifecycle/submission.py",
        "client.create_hosted_async_doc if self.job.hosted else client.create_async_doc",
        "client.create_hosted_async_doc",
        f"{LIFE}/test_hosting.py::test_a_private_job_is_not_hosted",
    ),
    Mutation(
        "fetch a hosted document",
        "lifecycle/polling.py",
        "        if job.hosted:\n            published",
        "        if False:\n            published",
        f"{LIFE}/test_hosting.py::test_completed",
    ),
    Mutation(
        "say that it has ended although DocRaptor was not reached",
        "lifecycle/hosting.py",
        "with suppress(NotFoundError):",
        "with suppress(Exception):",
        f"{LIFE}/test_hosting.py::test_expire_fails",
    ),
    Mutation(
        "let each of many end it",
        "lifecycle/hosting.py",
        "filter(pk=job.pk, expired_at__isnull=True)",
        "filter(pk=job.pk)",
        f"{LIFE}/test_hosting.py::test_expire_race",
    ),
    Mutation(
        "write to the usual storage",
        "storage.py",
        "return storages[alias] if alias else get_document_storage()",
        "return get_document_storage()",
        f"{LIFE}/test_collection.py::test_storage_of_a_job",
    ),
    Mutation(
        "trust that a worker finds the same rows",
        "admin/changelist_queries.py",
        "if is_same else None",
        "",
        "tests/admin/test_changelist_queries.py::test_rows_that_depend_on_more",
    ),
    Mutation(
        "find rows for whom it may no longer concern",
        "admin/changelist_queries.py",
        "    if not (\n",
        "    if False and not (\n",
        "tests/admin/test_changelist_queries.py::test_permission_lost",
    ),
    Mutation(
        "prune a job without looking again whether it is finished",
        "retention.py",
        "yield _delete_jobs(old_jobs.filter(pk__in=keys))",
        "yield _delete_jobs(RenderJob.objects.filter(pk__in=keys))",
        "tests/test_retention.py::test_a_job_that_is_retried_meanwhile_stays",
    ),
    Mutation(
        "prune a job without recording its file",
        "retention.py",
        "DiscardedFile.objects.bulk_create(discarded, ignore_conflicts=True)",
        "pass",
        "tests/test_retention.py::test_killed",
    ),
    Mutation(
        "forget a file that the storage did not delete",
        "retention.py",
        "DiscardedFile.objects.filter(pk__in=deleted).delete()",
        "DiscardedFile.objects.filter(pk__in=[file.name for file in files]).delete()",
        "tests/test_retention.py::test_a_storage_that_fails",
    ),
    Mutation(
        "prune a job whose signal has still to be sent",
        "retention.py",
        "        ~Exists(unsent),\n",
        "",
        "tests/test_retention.py::test_a_job_waits_for_its_signal",
    ),
]  # fmt: skip


def main() -> int:
    """Try every mutation; return how many survived."""
    survived = 0
    for mutation in MUTATIONS:
        started = time.monotonic()
        verdict = attempt(mutation)
        survived += verdict != "killed"
        print(
            f"{verdict:<9} {time.monotonic() - started:5.1f} s  {mutation.name}  [{mutation.test}]"
        )
        sys.stdout.flush()
    print(f"{len(MUTATIONS)} mutations, {survived} not killed")
    return survived


def attempt(mutation: Mutation) -> str:
    """Run the named test against the mutated copy."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("django_docraptor", "tests"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, Path(copy) / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", copy)
        file = Path(copy) / "django_docraptor" / mutation.file
        text = file.read_text()
        if mutation.old not in text:
            return "NOT FOUND"
        text = text.replace(mutation.old, mutation.new)
        file.write_text(text.replace(*mutation.also) if mutation.also else text)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            mutation.test,
        ]
        done = subprocess.run(command, cwd=copy, capture_output=True, timeout=300, check=False)
        return {0: "SURVIVED", 1: "killed"}.get(done.returncode, f"ERROR {done.returncode}")


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
