"""Mutation testing: break each guard and check that a given test fails.

``python -m tests.mutants`` breaks each guard in a copy of the code, and prints a table; the exit
status is 1 if a mutant survives. With ``--check`` it only checks that the code to break occurs
once, and that the tests exist.
"""

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "django_docraptor"


@dataclass(frozen=True)
class Mutation:
    """A guard, a way to break it, and the test that must fail.

    Args:
        name: what the broken code does, in the imperative.
        file: the path in the package.
        old: the code to break, which occurs once in the file.
        new: the broken code.
        test: a test or a file of tests, as pytest takes it.
        extra_change: a second guard of the same case, which is broken together with the first.
    """

    name: str
    file: str
    old: str
    new: str
    test: str
    extra_change: tuple[str, str] | None = None


LIFECYCLE = "tests/lifecycle"
MUTATIONS = [
    Mutation(
        "name a copy in a field without the job's ID",
        "names.py",
        "start = posixpath.join(directory, job_id.hex)",
        'start = posixpath.join(directory, "copy")',
        "tests/documents/test_delivery.py::test_copies_of_two_documents_are_two_files",
    ),
    Mutation(
        "delete a replaced file that another row uses",
        "documents/delivery.py",
        "if not _is_used(source, name, job):",
        "if True:",
        "tests/documents/test_delivery.py::test_replaced_file_that_a_copied_row_uses_is_kept",
    ),
    Mutation(
        "redirect to a URL that never expires",
        "storage.py",
        "if disposition in dict(parse_qsl(urlsplit(url).query)).values():",
        "if True:",
        "tests/responses/test_files.py::test_other_files_are_streamed",
    ),
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
        f"{LIFECYCLE}/test_submission.py::test_response_for_an_old_attempt_does_not_settle_the_next",
    ),
    Mutation(
        "forget the lease token",
        "models/jobs.py",
        "rows = rows.filter(lease_token=self.lease_token)",
        "pass",
        f"{LIFECYCLE}/test_polling.py::test_poller_without_lease_saves_nothing",
    ),
    Mutation(
        "claim without checking again that the row is due",
        "models/querysets.py",
        "due = self.filter(pk__in=keys).due()",
        "due = self.filter(pk__in=keys)",
        "tests/models/test_querysets.py::test_claim_skips_a_row_changed_since_it_was_read",
    ),
    Mutation(
        "claim a row that a callback has changed since it was read",
        "models/jobs.py",
        "            callback_at__isnull=self.callback_at is None,\n",
        "",
        "tests/models/test_querysets.py::test_claim_skips_a_row_changed_since_it_was_read",
    ),
    Mutation(
        "claim the jobs of a paused account",
        "lifecycle/accounts.py",
        '    if not any(getattr(row, "is_account_paused", False) for row in rows):\n',
        "    if True:\n",
        "tests/models/test_querysets.py::test_claim_skips_paused_accounts",
    ),
    Mutation(
        "send a url that DocRaptor cannot reach",
        "preflight/inspection.py",
        "        check_url(request.url, test=request.test, ignore=ignore, is_signed=is_signed)\n",
        "        pass\n",
        "tests/preflight/test_inspection.py::test_url_that_docraptor_cannot_reach_is_refused",
    ),
    Mutation(
        "let a production document be on a host of the sandbox",
        "preflight/inspection.py",
        "allow_private=test and _is_sandbox()",
        "allow_private=_is_sandbox()",
        "tests/preflight/test_inspection.py::test_private_url_is_accepted_with_the_sandbox",
    ),
    Mutation(
        "take a private address in another notation for a public one",
        "preflight/url_checks.py",
        "    host = _as_resolved(host)\n",
        "",
        "tests/preflight/test_inspection.py::test_url_that_docraptor_cannot_reach_is_refused",
    ),
    Mutation(
        "take a client with a token for a browser",
        "responses/json_clients.py",
        'return "json" in accepted or "Authorization" in request.headers',
        'return "json" in accepted',
        "tests/views/test_json_clients.py::test_client_with_a_token_gets_the_document_of_a_view",
    ),
    Mutation(
        "redirect a client that asks for JSON to the status page",
        "responses/documents.py",
        "    if wants_json(request):\n        return state_response(request, job)\n",
        "",
        "tests/views/test_json_clients.py::test_document_view_tells_the_state",
    ),
    Mutation(
        "send an anonymous client that asks for JSON to the login page of a view",
        "views/documents.py",
        "        if wants_json(self.request):\n            raise PermissionDenied\n",
        "",
        "tests/views/test_json_clients.py::test_anonymous_client_of_a_view_is_refused_in_json",
    ),
    Mutation(
        "send an anonymous client that asks for JSON from the status page to the login page",
        "views/pages.py",
        "        if wants_json(request):\n            raise PermissionDenied\n",
        "",
        "tests/views/test_json_clients.py::test_anonymous_client_is_refused_in_json",
    ),
    Mutation(
        "tell a refusal as a page to a client that asks for JSON",
        "responses/json_clients.py",
        "            if not wants_json(request):\n                raise\n",
        "            raise\n",
        "tests/views/test_json_clients.py::test_other_users_are_refused_in_json",
    ),
    Mutation(
        "tell an unfinished document to clients as finished",
        "responses/json_clients.py",
        "status = 202 if not job.is_final else 409 if wants_file else 200",
        "status = 200",
        "tests/views/test_json_clients.py::test_unfinished_document_is_a_state",
    ),
    Mutation(
        "quote an error's text, which may be a traceback, to clients",
        "responses/json_clients.py",
        '"error_code": job.error_code if job.state == State.FAILED else "",',
        '"error_code": job.errors,',
        "tests/views/test_json_clients.py::test_failed_document_is_a_state",
    ),
    Mutation(
        "store a password as it is",
        "job_specs.py",
        "options=encrypt_secrets(context.merged_options(spec)),",
        "options=context.merged_options(spec),",
        "tests/integration/test_passwords.py::test_password_is_sent_and_not_shown",
    ),
    Mutation(
        "let a hash of a request be used to guess its password",
        "lifecycle/reuse.py",
        "json.dumps(hash_secrets(body),",
        "json.dumps(body,",
        "tests/integration/test_passwords.py::test_hashes_do_not_allow_guessing",
    ),
    Mutation(
        "let an idempotency key be used to guess a password",
        "responses/idempotency.py",
        "hash_secrets(options_to_json(merge_options(conf.defaults, spec.options)))",
        "options_to_json(merge_options(conf.defaults, spec.options))",
        "tests/integration/test_passwords.py::test_hashes_do_not_allow_guessing",
    ),
    Mutation(
        "lose the stored passwords when SECRET_KEY is rotated",
        "payloads/secrets.py",
        "keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]",
        "keys = [settings.SECRET_KEY]",
        "tests/payloads/test_secrets.py::test_former_key_still_decrypts",
    ),
    Mutation(
        "call the hook of a failure after the job was retried",
        "documents/follow_ups.py",
        "if signal is hook_due and not HOOK.failures_of(job).exists():",
        "if False:",
        "tests/documents/test_follow_ups.py::test_retry_ends_the_hook_of_the_failure",
    ),
    Mutation(
        "give up the hook of a retried job for failures before the retry",
        "documents/follow_ups.py",
        "filter(kind=self.failed_kind, id__gt=RenderEvent.last_retry_of(job))",
        "filter(kind=self.failed_kind)",
        "tests/documents/test_follow_ups.py::test_time_of_a_hook_begins_anew_with_a_retry",
    ),
    Mutation(
        "make a synchronous call while its account is paused",
        "lifecycle/synchronous.py",
        "    _check_pauses(keyed)\n",
        "",
        f"{LIFECYCLE}/test_synchronous.py::test_paused_account_makes_no_call",
    ),
    Mutation(
        "make a synchronous call while the account's circuit is open",
        "lifecycle/synchronous.py",
        "    _check_circuit(keyed.account)\n",
        "",
        f"{LIFECYCLE}/test_synchronous.py::test_open_circuit_makes_no_call",
    ),
    Mutation(
        "forget what a synchronous call learns of the account",
        "lifecycle/synchronous.py",
        "if concerns_account(error):",
        "if False:",
        f"{LIFECYCLE}/test_synchronous.py::test_rejected_key_pauses_it",
    ),
    Mutation(
        "submit jobs in the slots of synchronous calls",
        "models/querysets.py",
        "in_flight=sent + claimed + calls,",
        "in_flight=sent + claimed,",
        f"{LIFECYCLE}/test_synchronous.py::test_no_job_is_submitted_during_a_call",
    ),
    Mutation(
        "make a synchronous call without a free slot",
        "lifecycle/synchronous.py",
        "        _wait_for_turn(keyed, key)\n",
        "",
        f"{LIFECYCLE}/test_synchronous.py::test_calls_take_their_turns",
    ),
    Mutation(
        "occupy the slot of a killed synchronous call for ever",
        "models/synchronous_calls.py",
        "return self.filter(ends_at__gt=Now())",
        "return self.all()",
        f"{LIFECYCLE}/test_synchronous.py::test_killed_process_gives_its_slot_back",
    ),
    Mutation(
        "free the slot of a synchronous call whose document may be rendering",
        "lifecycle/synchronous.py",
        "return isinstance(error, CallError) and error.sent == Sent.MAYBE",
        "return False",
        f"{LIFECYCLE}/test_synchronous.py::test_unknown_outcome_occupies_its_slot",
    ),
    Mutation(
        "lock the account for the duration of the caller's transaction",
        "lifecycle/synchronous.py",
        "if connection.in_atomic_block or not connection.get_autocommit():",
        "if False:",
        f"{LIFECYCLE}/test_synchronous.py::"
        "test_call_in_a_transaction_is_made_only_if_a_slot_is_free",
    ),
    Mutation(
        "make a synchronous call without a tag of its own",
        "lifecycle/synchronous.py",
        """tag=f"{own_tag} {request.tag or ''}".strip()""",
        "tag=request.tag",
        f"{LIFECYCLE}/test_synchronous.py::test_call_has_a_tag_of_its_own",
    ),
    Mutation(
        "keep a claim after polling without counting the download",
        "lifecycle/transitions.py",
        '"download_attempts": job.download_attempts + 1,',
        '"download_attempts": job.download_attempts,',
        f"{LIFECYCLE}/test_downloading.py",
    ),
    Mutation(
        "take a passing fault in a template for final",
        "lifecycle/composition.py",
        "if isinstance(error, (*PASSING_ERRORS, MemoryError)) or is_missing:",
        "if False:",
        f"{LIFECYCLE}/test_composition.py::test_passing_fault_is_tried_again",
    ),
    Mutation(
        "take a worker without memory for the template's fault",
        "lifecycle/composition.py",
        "(*PASSING_ERRORS, MemoryError)",
        "PASSING_ERRORS",
        f"{LIFECYCLE}/test_composition.py::test_passing_fault_is_tried_again",
    ),
    Mutation(
        "take a worker without file handles for the template's fault",
        "lifecycle/composition.py",
        "error.errno in MISSING_RESOURCES",
        "False",
        f"{LIFECYCLE}/test_composition.py::test_passing_fault_is_tried_again",
    ),
    Mutation(
        "let a check of one document end the whole batch",
        "lifecycle/composition.py",
        "    with _errors_of_document():\n        return _compose(job, job_input)\n",
        "    return _compose(job, job_input)\n",
        f"{LIFECYCLE}/test_composition.py::test_error_in_a_check_concerns_its_own_job",
    ),
    Mutation(
        "let a key end the worker",
        "conf.py",
        "except BaseException as error:  # a key store",
        "except Exception as error:  # a key store",
        f"{LIFECYCLE}/test_accounts.py::test_key_that_ends_the_process_costs_no_batch",
    ),
    Mutation(
        "complete a job with a file outside of its storage",
        "lifecycle/downloading.py",
        "    if _is_outside(name):\n",
        "    if False:\n",
        f"{LIFECYCLE}/test_downloading.py::test_name_that_the_row_cannot_have_fails_the_job",
    ),
    Mutation(
        "delete by a name outside of the storage",
        "lifecycle/downloading.py",
        "and returned and not _is_outside(returned)",
        "and returned",
        f"{LIFECYCLE}/test_downloading.py::test_name_that_the_row_cannot_have_fails_the_job",
    ),
    Mutation(
        "let a field refer to a copy that cannot be read",
        "documents/delivery.py",
        "if problem := stored_name_problem(stored, field.max_length):",
        "if False and (problem := stored_name_problem(stored, field.max_length)):",
        "tests/documents/test_delivery.py::test_unusable_name_of_a_copy_is_told",
    ),
    Mutation(
        "take an interim response for the response",
        "client/time_limits.py",
        "while 100 < self.status < 200 and",
        "while False and",
        "tests/client/test_transport.py::test_interim_response_is_not_the_response",
    ),
    Mutation(
        "reuse a connection that has switched protocols",
        "client/transport.py",
        "if response.status_code < 200:",
        "if False:",
        "tests/client/test_transport.py::test_connection_that_has_switched_protocols_is_not_reused",
    ),
    Mutation(
        "take an interim response for a refusal",
        "client/failures.py",
        "    if status < 200:",
        "    if False:",
        "tests/client/test_transport.py::test_interim_response_alone_says_nothing",
    ),
    Mutation(
        "open the circuit although nothing was called",
        "lifecycle/submission.py",
        "is_begun = not isinstance(outcome, NotBegunError)",
        "is_begun = True",
        f"{LIFECYCLE}/test_rate_control.py::test_call_that_was_never_begun_is_no_failure",
    ),
    Mutation(
        "give up an unconfirmed attempt by its age, whatever the pauses were",
        "lifecycle/reconciliation.py",
        "is_over = patience.is_over(job.failing_seconds)",
        "is_over = patience.is_over(job.attempt_age)",
        f"{LIFECYCLE}/test_reconciliation.py::test_pause_does_not_count_towards_the_end_of_doubt",
    ),
    Mutation(
        "begin to count anew whenever the log can be read",
        "lifecycle/reconciliation.py",
        "columns = count_failure(job) |",
        'columns = {"failures": 0, "failing_since": None} |',
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_incomplete_evidence_proves_nothing",
    ),
    Mutation(
        "keep quiet about jobs that wait for proof",
        "health.py",
        "[row for row in rows if row[0] == State.UNCONFIRMED]",
        "[]",
        "tests/test_health.py::test_jobs_that_wait_for_proof_are_told",
    ),
    Mutation(
        "record every failure of an outage of days",
        "lifecycle/postponement.py",
        "    if updated and is_event:\n",
        "    if updated:\n",
        f"{LIFECYCLE}/test_postponement.py::test_outage_leaves_few_events",
    ),
    Mutation(
        "count an attempt that leaves no other trace as a document",
        "models/jobs.py",
        "self.events.filter(kind=undone_kind, attempt=self.attempt).delete()",
        "pass",
        f"{LIFECYCLE}/test_brake.py::test_attempts_that_were_not_accepted_do_not_count",
    ),
    Mutation(
        "record a wrong key each time that it is tested",
        "lifecycle/postponement.py",
        'REQUEST_ID.sub("", text) !=',
        "text !=",
        f"{LIFECYCLE}/test_postponement.py::test_wrong_key_is_told_once_in_the_history",
    ),
    Mutation(
        "call through a proxy for which a package is missing",
        "lifecycle/clients.py",
        "    if problem:\n",
        "    if False:\n",
        f"{LIFECYCLE}/test_accounts.py"
        "::test_socks_proxy_without_its_package_is_waited_for_and_told",
    ),
    Mutation(
        "render a template with a passing fault for ever",
        "lifecycle/patience.py",
        "return bool(seconds >= conf.retry_for)",
        "return False",
        f"{LIFECYCLE}/test_composition.py::test_repeated_passing_fault_fails_the_job",
    ),
    Mutation(
        "wait for ever for a document that DocRaptor has terminated",
        "lifecycle/evidence.py",
        "return job.attempt_age >= decision_age()",
        "return False",
        f"{LIFECYCLE}/test_retries.py::test_render_without_end_can_be_made_anew",
    ),
    Mutation(
        "give up a document that may still be rendered",
        "lifecycle/polling.py",
        "if is_dead(job, remote.status) and has_asked_again(job):",
        "if has_asked_again(job):",
        f"{LIFECYCLE}/test_retries.py::test_render_that_may_still_end_is_asked_for_again",
    ),
    Mutation(
        "give up a document because a clock jumped",
        "lifecycle/polling.py",
        "if is_dead(job, remote.status) and has_asked_again(job):",
        "if is_dead(job, remote.status):",
        f"{LIFECYCLE}/test_retries.py::test_render_without_end_can_be_made_anew",
    ),
    Mutation(
        "render more templates after a time limit",
        "lifecycle/submission.py",
        "if job is not jobs[0] and time.monotonic() > stop:",
        "if requests and time.monotonic() > stop:",
        f"{LIFECYCLE}/test_composition.py::test_slow_fault_releases_the_rest_of_the_batch",
    ),
    Mutation(
        "send before the intent is committed",
        "lifecycle/submission.py",
        ", durable=True",
        "",
        f"{LIFECYCLE}/test_submission_batches.py::test_prepare_refuses_to_run_in_a_transaction",
    ),
    Mutation(
        "send although the process was suspended since the intent",
        "lifecycle/submission.py",
        "if time.monotonic() - self.committed_at > BEGIN_SECONDS:",
        "if False:",
        f"{LIFECYCLE}/test_submission.py::test_worker_frozen_past_its_lease_does_not_send",
    ),
    Mutation(
        "send again what may have been accepted",
        "lifecycle/submission.py",
        "        mark_unconfirmed(job, error)\n",
        "        retry_submit_later(job, error)\n",
        f"{LIFECYCLE}/test_submission.py::test_lost_create_response_is_found_by_tag",
    ),
    Mutation(
        "return an interrupted create to pending",
        "lifecycle/transitions.py",
        "State.UNCONFIRMED,\n        kind=EventKind.UNCONFIRMED,\n        require_lease=True,\n"
        '        note="The worker',
        "State.PENDING,\n        kind=EventKind.UNCONFIRMED,\n        require_lease=True,\n"
        '        note="The worker',
        f"{LIFECYCLE}/test_crashes.py::test_worker_killed_while_submitting_never_creates_twice",
    ),
    Mutation(
        "let an error of one job end its batch",
        "lifecycle/isolation.py",
        "    except Exception as error:\n",
        "    except ZeroDivisionError as error:\n",
        f"{LIFECYCLE}/test_isolation.py::test_unsaveable_status_is_retried_for_a_bounded_time",
    ),
    Mutation(
        "drop an outcome because of one database error",
        "lifecycle/isolation.py",
        "for delay in RETRY_DELAYS:",
        "for delay in ():",
        f"{LIFECYCLE}/test_isolation.py"
        "::test_outcome_of_a_create_is_saved_again_after_a_database_error",
    ),
    Mutation(
        "save an outcome again without undoing the failed write",
        "lifecycle/isolation.py",
        "        _reset(job, snapshot)\n        time",
        "        time",
        f"{LIFECYCLE}/test_isolation.py"
        "::test_outcome_of_a_poll_is_saved_again_after_a_database_error",
    ),
    Mutation(
        "let the slowest call of a batch delay the others' outcomes",
        "lifecycle/clients.py",
        "for future in as_completed(futures):",
        "for future in futures:",
        f"{LIFECYCLE}/test_isolation.py::test_slow_create_does_not_delay_the_other_outcomes",
    ),
    Mutation(
        "count every create of a batch that meets an outage",
        "lifecycle/submission.py",
        " and not batch.has_failed:",
        ":",
        f"{LIFECYCLE}/test_rate_control.py::test_outage_during_a_batch_is_one_failure",
    ),
    Mutation(
        "compose any number of bytes for one batch",
        "lifecycle/submission.py",
        "                stop = 0.0",
        "                pass",
        f"{LIFECYCLE}/test_submission_batches.py::test_batch_is_bounded_by_bytes",
    ),
    Mutation(
        "count no outage at all",
        "lifecycle/submission.py",
        "            Account.record_failure(job.account, str(outcome))\n",
        "",
        f"{LIFECYCLE}/test_rate_control.py::test_outage_during_several_batches_opens_the_circuit",
    ),
    Mutation(
        "send a signal that kills workers for ever",
        "lifecycle/recovery.py",
        "if lapses >= MAX_LAPSED_CLAIMS:",
        "if False:",
        f"{LIFECYCLE}/test_claims.py::test_receiver_that_kills_its_workers_is_given_up",
    ),
    Mutation(
        "let claims outlast a clock that was set back",
        "lifecycle/clock_repair.py",
        "    _shorten_claims()\n    heartbeat",
        "    heartbeat",
        f"{LIFECYCLE}/test_clock_repair.py::test_claim_lasts_for_a_lease_at_most",
    ),
    Mutation(
        "give up on a serialization failure",
        "models/conflicts.py",
        "if not is_conflict(error):",
        "if True:",
        f"{LIFECYCLE}/test_conflicts.py::test_only_a_conflict_is_repeated",
    ),
    Mutation(
        "repeat a move with the object that the refused one has changed",
        "models/jobs.py",
        "reset=lambda: vars(self).update(vars(copy(before))),",
        "",
        f"{LIFECYCLE}/test_conflicts.py::test_move_that_met_a_conflict_is_repeated",
    ),
    Mutation(
        "let a job kill workers for ever",
        "lifecycle/claims.py",
        "if job.lapsed_claims < MAX_LAPSED_CLAIMS:",
        "if True:",
        f"{LIFECYCLE}/test_claims.py::test_step_that_kills_its_workers_fails_after_five",
    ),
    Mutation(
        "claim for less time than a call may take",
        "lifecycle/leases.py",
        "return max(LEASE_SECONDS[state], needed)",
        "return LEASE_SECONDS[state]",
        f"{LIFECYCLE}/test_claims.py::test_slow_download_is_not_repeated_while_it_runs",
    ),
    Mutation(
        "let headers drip for ever",
        "client/time_limits.py",
        "self._sock.shutdown(socket.SHUT_RDWR)",
        "pass",
        "tests/client/test_time_limits.py::test_headers_that_drip_end_at_the_total",
    ),
    Mutation(
        "take a body that the time limit has cut for a whole one",
        "client/transport.py",
        "            if not self.limit.has_passed:\n",
        "            if True:\n",
        "tests/client/test_time_limits.py::test_body_that_drips_ends_at_the_total",
    ),
    Mutation(
        "claim a job that killed a worker together with others",
        "models/querysets.py",
        "return lapsed[:1] if is_its_turn else others",
        "return jobs",
        f"{LIFECYCLE}/test_isolation.py::test_template_that_kills_workers_fails_after_some_deaths",
    ),
    Mutation(
        "resubmit although a callback came while the job waited",
        "lifecycle/submission.py",
        "if job.attempt and job.callback_at:",
        "if False:",
        f"{LIFECYCLE}/test_reconciliation.py"
        "::test_callback_for_a_missing_attempt_stops_the_resubmit",
    ),
    Mutation(
        "commit an intent although a callback came since the claim",
        "lifecycle/transitions.py",
        "            condition=NO_CALLBACK,\n",
        "",
        f"{LIFECYCLE}/test_reconciliation.py"
        "::test_callback_between_claim_and_intent_stops_the_resubmit",
    ),
    Mutation(
        "download for ever although each worker dies",
        "lifecycle/downloading.py",
        "    if fail_killer(job):\n        return\n",
        "",
        f"{LIFECYCLE}/test_downloading.py::test_downloads_are_bounded_even_if_workers_die",
    ),
    Mutation(
        "read from the router's database",
        "models/managers.py",
        "rows if self._db else rows.using(router.db_for_write(self.model))",
        "rows",
        "tests/models/test_managers.py::test_engine_completes_jobs_despite_a_replica",
    ),
    Mutation(
        "send the input of a job as it was before an update",
        "lifecycle/composition.py",
        "job_input.refresh_from_db()",
        "pass",
        "tests/documents/test_triggers.py::test_updated_job_is_sent_with_its_new_input",
    ),
    Mutation(
        "update another user's job",
        "shortcuts.py",
        "job.owner_id in (None, new_job.owner_id) and",
        "",
        "tests/documents/test_triggers.py::test_save_does_not_replace_another_users_job",
    ),
    Mutation(
        "conclude from one early listing that an attempt is missing",
        "lifecycle/evidence.py",
        "return (latest_arrival() + settled_age()).total_seconds()",
        "return 1.0",
        f"{LIFECYCLE}/test_submission.py"
        "::test_job_is_not_resubmitted_before_confirmation_window_ends",
    ),
    Mutation(
        "prove without DocRaptor's time",
        "lifecycle/account_log.py",
        "return min(times) if times and len(times) == len(self._served) else None",
        "return min(times, default=datetime.now(UTC))",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_incomplete_evidence_proves_nothing",
    ),
    Mutation(
        "prove by a log that is not in order",
        "lifecycle/evidence.py",
        "if not log.is_ordered:",
        "if False:",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_incomplete_evidence_proves_nothing",
    ),
    Mutation(
        "prove by a log that does not reach back",
        "lifecycle/evidence.py",
        "oldest < earliest - margin",
        "oldest < earliest + margin",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_log_is_read_until_entries_a_day_older",
    ),
    Mutation(
        "prove by an attempt that was sent before",
        "lifecycle/evidence.py",
        "arrived_at = job.sent_at + latest_arrival()",
        "arrived_at = job.sent_at - DAY",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_attempt_of_the_same_time_is_no_later_one",
    ),
    Mutation(
        "prove by times that contradict each other",
        "lifecycle/evidence.py",
        "if not -CLOCK_TOLERANCE <= later.age <= elapsed + CLOCK_TOLERANCE:",
        "if False:",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_incomplete_evidence_proves_nothing",
    ),
    Mutation(
        "prove by the database's clock alone",
        "lifecycle/evidence.py",
        "if min(later.age, elapsed) < settled_age():",
        "if elapsed < settled_age():",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_database_clock_that_jumps_ahead_proves_nothing",
    ),
    Mutation(
        "prove by DocRaptor's clock alone",
        "lifecycle/evidence.py",
        "if min(later.age, elapsed) < settled_age():",
        "if later.age < settled_age():",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_clock_of_docraptor_that_jumps_ahead_proves_nothing",
    ),
    Mutation(
        "prove by a log that lacks other attempts",
        "lifecycle/evidence.py",
        "if count := count_unlisted(job, log, later.attempt):",
        "if count := 0:",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_patchy_log_proves_nothing",
    ),
    Mutation(
        "ignore what only a filtered listing shows",
        "lifecycle/reconciliation.py",
        "    look_again([job",
        "    len([job",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_hit_in_a_filtered_listing_settles",
    ),
    Mutation(
        "believe pages that may skip entries",
        "lifecycle/account_log.py",
        "self.is_confirmed = _list_the_same(self.entries, again.entries)",
        "self.is_confirmed = True",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_page_that_skips_entries_proves_nothing",
    ),
    Mutation(
        "send a probe for each check",
        "models/accounts.py",
        "cls.objects.filter(may_replace | has_failed | is_ahead, ~is_open, pk=name)",
        "cls.objects.filter(pk=name)",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_log_that_lags_for_hours_proves_nothing",
    ),
    Mutation(
        "fail an attempt that the log lists without a reason",
        "lifecycle/reconciliation.py",
        "elif entry.success is False and entry.validation_errors:",
        "elif entry.success is False:",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_unfinished_attempt_in_the_log_is_no_failure",
    ),
    Mutation(
        "send again without end",
        "lifecycle/reconciliation.py",
        "return bool(len(details) - outages < MAX_RESUBMITS)",
        "return True",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_resubmits_with_proof_are_bounded",
    ),
    Mutation(
        "send a production document again without proof",
        "lifecycle/reconciliation.py",
        "elif is_free or (is_over and conf.unconfirmed == RESUBMIT):",
        "elif is_free or is_over:",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_incomplete_evidence_proves_nothing",
    ),
    Mutation(
        "skip what shifts to the next page",
        "lifecycle/account_log.py",
        "if (entry.id or entry) not in keys]",
        "if (entry.id or entry) not in keys][:1]",
        f"{LIFECYCLE}/test_reconciliation_proof.py::test_page_that_shifts_while_reading_hides_nothing",
    ),
    Mutation(
        "resubmit although a callback proves acceptance",
        "lifecycle/reconciliation.py",
        "if conf.unconfirmed == FAIL or job.callback_at is not None:",
        "if conf.unconfirmed == FAIL:",
        f"{LIFECYCLE}/test_callbacks.py::test_callback_without_log_entry_fails_the_job",
    ),
    Mutation(
        "record each delivery of a callback",
        "lifecycle/callbacks.py",
        "callback_at__isnull=True)",
        ")",
        f"{LIFECYCLE}/test_callbacks.py::test_repeated_callback_changes_nothing",
    ),
    Mutation(
        "leave the lease to a poll that is older than the callback",
        "lifecycle/callbacks.py",
        'due_at=Now(), lease_token="")',
        "due_at=Now())",
        f"{LIFECYCLE}/test_callbacks.py::test_callback_during_a_poll_keeps_the_job_due",
    ),
    Mutation(
        "ignore the end of a truncated document",
        "spool.py",
        "    if end is None:\n",
        '    if end is None:\n        return ""\n    if end is None:\n',
        f"{LIFECYCLE}/test_downloading.py::test_truncated_download_is_never_stored",
    ),
    Mutation(
        "give a job the status_id, and so the file, of another",
        "lifecycle/transitions.py",
        "        _fail_shared_status_id(job, status_id, error)\n        return False\n",
        "        is_accepted = job.move(State.QUEUED, kind=EventKind.ACCEPTED)\n",
        f"{LIFECYCLE}/test_reconciliation.py::test_shared_status_id_is_not_shared_by_jobs",
    ),
    Mutation(
        "end the step if a storage returns an unusable name",
        "lifecycle/downloading.py",
        "if problem := stored_name_problem(stored_name):",
        "if problem := '':",
        f"{LIFECYCLE}/test_downloading.py::test_name_that_the_row_cannot_have_fails_the_job",
    ),
    Mutation(
        "end the step if the database lacks a character",
        "models/text.py",
        "            if not is_unstorable(error):\n",
        "            if error:\n",
        f"{LIFECYCLE}/test_unstorable_text.py::test_rejection_is_stored_without_the_characters",
    ),
    Mutation(
        "store a document that was cut inside an incremental update",
        "spool.py",
        r"%%EOF[\s\x00]*\Z",
        "%%EOF",
        "tests/test_spool.py::test_finalize_refuses_a_pdf_cut_inside_an_update",
    ),
    Mutation(
        "store a part of a document",
        "client/calls.py",
        "if response.raw_response.status_code == PARTIAL_CONTENT:",
        "if False:",
        f"{LIFECYCLE}/test_downloading.py::test_partial_response_is_refused",
    ),
    Mutation(
        "store whatever has status 200",
        "spool.py",
        "    if problem:\n",
        "    if False:\n",
        f"{LIFECYCLE}/test_downloading.py"
        "::test_response_that_is_not_a_document_is_kept_for_inspection",
    ),
    Mutation(
        "download again although the document is in the spool",
        "lifecycle/downloading.py",
        "if not is_spooled and not download_to_spool(job, path, undo):",
        "if not download_to_spool(job, path, undo):",
        f"{LIFECYCLE}/test_downloading.py::test_storage_errors_cost_no_second_download",
    ),
    Mutation(
        "leave the file of a job that moved on",
        "lifecycle/downloading.py",
        "        delete_stored(job, stored_name)\n    spool.discard(path)\n",
        "        pass\n    spool.discard(path)\n",
        f"{LIFECYCLE}/test_downloading.py::test_file_of_a_job_cancelled_while_saving_is_deleted",
    ),
    Mutation(
        "leave the file of a killed save",
        "lifecycle/downloading.py",
        "                delete_stored(job, name)\n",
        "                pass\n",
        f"{LIFECYCLE}/test_crashes.py::test_worker_killed_while_downloading_is_resumed",
    ),
    Mutation(
        "fail jobs because of a rejected API key",
        "lifecycle/submission.py",
        "        return_to_pending(job, error, str(error), delay=0, is_repeated=is_repeated)\n",
        "        fail(job, ErrorCode.REJECTED, error.message)\n",
        f"{LIFECYCLE}/test_submission.py::test_401_pauses_the_account_and_keeps_its_jobs",
    ),
    Mutation(
        "pause every key of an account after a 401",
        "lifecycle/accounts.py",
        "begin_pause(account, error.key_hash or ANY_KEY, ACCOUNT_PAUSE_SECONDS, str(error))",
        "begin_pause(account, ANY_KEY, ACCOUNT_PAUSE_SECONDS, str(error))",
        f"{LIFECYCLE}/test_accounts.py::test_worker_with_an_old_key_does_not_stop_the_others",
    ),
    Mutation(
        "submit with a paused key",
        "lifecycle/submission.py",
        "        if limits.is_paused:\n",
        "        if False:\n",
        f"{LIFECYCLE}/test_accounts.py::test_rotating_keys_pause_one_by_one",
    ),
    Mutation(
        "fail jobs because there is no API key",
        "lifecycle/accounts.py",
        "        begin_pause(account, NO_KEY, NO_KEY_SECONDS, str(error))\n        return None\n",
        "        raise\n",
        f"{LIFECYCLE}/test_accounts.py::test_key_that_cannot_be_read_is_waited_for_and_told",
    ),
    Mutation(
        "count a download that could not begin for want of a key",
        "lifecycle/downloading.py",
        "        release(job, **undo)\n",
        "        release(job)\n",
        f"{LIFECYCLE}/test_accounts.py::test_missing_key_is_no_verdict_on_an_accepted_document",
    ),
    Mutation(
        "fail a document because the account is over its limit",
        "lifecycle/polling.py",
        "remote.is_failed and is_account_refusal(remote.failure_reason)",
        "False",
        f"{LIFECYCLE}/test_accounts.py::test_refused_account_waits_and_goes_on_when_resumed",
    ),
    Mutation(
        "retry from the start what can resume",
        "bulk_retry.py",
        "    if not from_start:\n        return retry(job, by=by)\n",
        "",
        "tests/test_bulk_retry.py::test_resuming_is_the_rule_and_starting_again_the_exception",
    ),
    Mutation(
        "admit jobs without counting those in flight",
        "lifecycle/submission.py",
        "free_slots = conf.max_in_flight - limits.in_flight",
        "free_slots = conf.max_in_flight",
        f"{LIFECYCLE}/test_submission.py::test_parallel_workers_share_the_in_flight_limit",
    ),
    Mutation(
        "follow redirects",
        "client/transport.py",
        "            allow_redirects=False,\n",
        "                allow_redirects=True,\n",
        "tests/client/test_transport.py",
        ("def get_redirect_target", "def _unused"),
    ),
    Mutation(
        "trust the environment's netrc and proxies",
        "client/transport.py",
        "session.trust_env = False",
        "session.trust_env = True",
        "tests/client/test_transport.py",
    ),
    Mutation(
        "trust an authority that was removed from the CA bundle",
        "client/tls.py",
        "_load(path, (found.st_mtime_ns, found.st_size, found.st_ino))",
        "_load(path, ())",
        "tests/client/test_tls.py",
    ),
    Mutation(
        "keep connections of an authority that was removed from the CA bundle",
        "client/transport.py",
        "if entry is None or entry[0] != key:",
        "if entry is None or entry[0][0] != key[0]:",
        "tests/client/test_tls.py",
    ),
    Mutation(
        "accept callback tokens of any signer",
        "callback_urls.py",
        "value = _signer(salt).unsign(token, max_age=timedelta(seconds=max_age))",
        'value = token.split(".")[0]',
        "tests/test_callback_urls.py",
    ),
    Mutation(
        "let any user download",
        "models/jobs.py",
        'return self.owner_id == user.pk or has_perm("django_docraptor.view_renderjob")',
        "return True",
        "tests/views/test_downloads.py",
    ),
    Mutation(
        "bill a document again when its page is reloaded",
        "responses/idempotency.py",
        'return replace(spec, idempotency_key=f"{key}:{generation}")',
        "return spec",
        "tests/responses/test_idempotency.py",
    ),
    Mutation(
        "let an owner retry what may have been billed",
        "views/pages.py",
        "is_free = job.test or job.resume_state is not None or not job.may_have_been_billed",
        "is_free = True",
        "tests/views/test_pages.py",
    ),
    Mutation(
        "send a create again because of words on a page",
        "client/failures.py",
        "if is_own and is_not_accepted(messages):",
        "if is_not_accepted(messages):",
        "tests/client/test_failures.py::test_only_docraptors_own_text_is_proof",
    ),
    Mutation(
        "give up a document because of a first refusal",
        "lifecycle/patience.py",
        "kind in REFUSALS and refused_seconds >= REFUSAL_SECONDS",
        "kind in REFUSALS",
        f"{LIFECYCLE}/test_outages.py::test_file_refused_for_most_of_an_hour_is_stored",
    ),
    Mutation(
        "count an outage as a row of refusals",
        "lifecycle/postponement.py",
        "(job.refused_since or Now()) if is_refusal else None",
        "job.refused_since or Now()",
        f"{LIFECYCLE}/test_polling.py::test_refusals_after_an_outage_have_their_own_hour",
    ),
    Mutation(
        "count the time of a download against the storage",
        "lifecycle/downloading.py",
        "    vars(job).update(NO_FAILURES)\n",
        "",
        f"{LIFECYCLE}/test_outages.py::test_storage_has_its_own_time",
    ),
    Mutation(
        "pay for a new attempt after a refusal that no retry asked for",
        "lifecycle/postponement.py",
        "return retried is not None and retried.to_state == State.QUEUED",
        "return True",
        f"{LIFECYCLE}/test_retries.py",
    ),
    Mutation(
        "take the page of a proxy for DocRaptor's word that a document is gone",
        "lifecycle/patience.py",
        "isinstance(error, NotFoundError) and kind == Kind.GONE:",
        "isinstance(error, NotFoundError):",
        f"{LIFECYCLE}/test_retries.py",
    ),
    Mutation(
        "pay for a new attempt after a timeout",
        "states.py",
        "    ErrorCode.TIMED_OUT: State.QUEUED,\n",
        "",
        f"{LIFECYCLE}/test_retries.py",
    ),
    Mutation(
        "forget the status_id of a late response",
        "lifecycle/transitions.py",
        'given_up.filter(status_id="").update(status_id=status_id)',
        "pass",
        f"{LIFECYCLE}/test_retries.py",
    ),
    Mutation(
        "make an unchanged document again",
        "lifecycle/reuse.py",
        "    return twin.request_hash == job.request_hash and is_young\n",
        "    return False\n",
        f"{LIFECYCLE}/test_reuse.py::test_receiver_that_saves_the_source_is_billed_once",
    ),
    Mutation(
        "give a job the file of a different request",
        "lifecycle/reuse.py",
        "    return twin.request_hash == job.request_hash and is_young\n",
        "    return is_young\n",
        f"{LIFECYCLE}/test_reuse.py::test_changed_save_is_made_again",
    ),
    Mutation(
        "announce a copy to the receiver that has asked for it",
        "lifecycle/reuse.py",
        "kind = EventKind.UNCHANGED if job.input.by_trigger else EventKind.REUSED",
        "kind = EventKind.REUSED",
        f"{LIFECYCLE}/test_reuse.py::test_receiver_that_saves_the_source_is_billed_once",
    ),
    Mutation(
        "make a document that another job is making",
        "lifecycle/reuse.py",
        "    return not twin.is_final and twin.held_at is None and is_same\n",
        "    return False\n",
        f"{LIFECYCLE}/test_reuse.py::test_second_trigger_waits_for_the_first",
    ),
    Mutation(
        "let two equal jobs of one batch wait for each other",
        "lifecycle/reuse.py",
        "    return is_earlier or other.lease_token != job.lease_token\n",
        "    return True\n",
        f"{LIFECYCLE}/test_reuse.py::test_two_jobs_of_one_batch_are_billed_once",
    ),
    Mutation(
        "copy a damaged file",
        "lifecycle/reuse.py",
        "        if sha256.hexdigest() != twin.sha256:\n",
        "        if False:\n",
        f"{LIFECYCLE}/test_reuse.py::test_document_without_an_intact_file_is_made_again",
    ),
    Mutation(
        "copy the document of another account",
        "lifecycle/reuse.py",
        '"account", "document_type", "test")',
        '"document_type", "test")',
        f"{LIFECYCLE}/test_reuse.py::test_different_request_is_made",
    ),
    Mutation(
        "send more documents of one object than the limit",
        "lifecycle/brake.py",
        "elif job.object_id and count >= limit.documents and not _is_released(job):",
        "elif False:",
        f"{LIFECYCLE}/test_brake.py::test_endless_loop_is_held_and_released_by_one_action",
    ),
    Mutation(
        "send a held job when its time is changed",
        "lifecycle/brake.py",
        "if job.held_at is not None:  # its time was changed by hand",
        "if False:",
        f"{LIFECYCLE}/test_brake.py::test_held_job_is_never_sent_by_itself",
    ),
    Mutation(
        "give one account's job to another that uses its idempotency key",
        "shortcuts.py",
        "return None if key is None else (item.account, key)",
        'return None if key is None else ("", key)',
        "tests/test_shortcuts.py::test_enqueue_many_keeps_the_keys_of_accounts_apart",
    ),
    Mutation(
        "run scripts in a preview",
        "views/documents.py",
        'response["Content-Security-Policy"] = PREVIEW_POLICY',
        "pass",
        "tests/views/test_documents.py",
    ),
    Mutation(
        "forget the signal that a dead process did not send",
        "lifecycle/recovery.py",
        "return _recover_interrupted_creates() + _send_overdue_signals()",
        "return _recover_interrupted_creates()",
        f"{LIFECYCLE}/test_crashes.py::test_signal_is_sent_by_the_next_sweep_after_a_kill",
    ),
    Mutation(
        "publish a private document",
        "lifecycle/submission.py",
        "        if self.job.hosted:\n",
        "        if True:\n",
        f"{LIFECYCLE}/test_hosting.py::test_job_is_not_hosted_by_hosting_options_alone",
    ),
    Mutation(
        "download a hosted document",
        "lifecycle/polling.py",
        "        if job.hosted:\n            publish_or_fail",
        "        if False:\n            publish_or_fail",
        f"{LIFECYCLE}/test_hosting.py::test_hosted_job_completes_without_a_download",
    ),
    Mutation(
        "record a document as expired although DocRaptor was not reached",
        "lifecycle/hosting.py",
        "with suppress(NotFoundError):",
        "with suppress(Exception):",
        f"{LIFECYCLE}/test_hosting.py::test_failed_expire_leaves_the_document_public",
    ),
    Mutation(
        "record each of several parallel expirations",
        "lifecycle/hosting.py",
        "filter(pk=job.pk, expired_at__isnull=True)",
        "filter(pk=job.pk)",
        f"{LIFECYCLE}/test_hosting.py::test_parallel_expires_record_one_event",
    ),
    Mutation(
        "save every document in the default storage",
        "storage.py",
        "return storages[alias] if alias else get_document_storage()",
        "return get_document_storage()",
        f"{LIFECYCLE}/test_downloading.py::test_job_uses_its_own_storage",
    ),
    Mutation(
        "assume that a worker finds the same rows",
        "admin/changelist_queries.py",
        "if is_same else None",
        "",
        "tests/admin/test_changelist_queries.py"
        "::test_rows_that_depend_on_the_session_are_stored_as_keys",
    ),
    Mutation(
        "render rows for a user who lost the permission",
        "admin/changelist_queries.py",
        "    if not (\n",
        "    if False and not (\n",
        "tests/admin/test_changelist_queries.py::test_lost_permission_fails_the_job",
    ),
    Mutation(
        "send what was stored in the middle of a transaction",
        "lifecycle/submission.py",
        "return compose_request(job) if renew_input(job) else None",
        "return compose_request(job)",
        "tests/documents/test_renewal.py::test_worker_decides_if_the_process_died",
    ),
    Mutation(
        "overwrite a later save's job by an earlier decision",
        "documents/renewal.py",
        ".filter(pk=stored.job.pk, revision=stored.revision)",
        ".filter(pk=stored.job.pk)",
        "tests/documents/test_renewal.py::test_decision_leaves_what_a_later_save_has_stored",
    ),
    Mutation(
        "withdraw a job that others have asked for",
        "rechecks.py",
        "            return replace(self, may_withdraw=False)",
        "            return self",
        "tests/documents/test_renewal.py::test_earlier_job_is_renewed_but_not_withdrawn",
    ),
    Mutation(
        "let a source that is never quiet wait for ever",
        "rechecks.py",
        "        return Case(is_late, default=default, output_field=DateTimeField())",
        "        return Case(default=default, output_field=DateTimeField())",
        "tests/documents/test_delay.py::test_each_save_moves_the_time_up_to_a_limit",
    ),
    Mutation(
        "call a failed hook only once",
        "documents/follow_ups.py",
        "            due = None if is_over else seconds_from_now(delay)",
        "            due = None",
        "tests/documents/test_follow_ups.py::test_failed_hook_is_called_again_until_it_succeeds",
    ),
    Mutation(
        "call a failing hook for ever",
        "documents/follow_ups.py",
        "        is_over = failures.filter(at__lte=seconds_from_now(-conf.retry_for)).exists()",
        "        is_over = False",
        "tests/documents/test_follow_ups.py::test_hook_that_keeps_failing_is_given_up_and_told",
    ),
    Mutation(
        "prune a job without checking again that it is finished",
        "retention.py",
        "yield _delete_jobs(old_jobs.filter(pk__in=keys))",
        "yield _delete_jobs(RenderJob.objects.filter(pk__in=keys))",
        "tests/test_retention.py::test_prune_keeps_a_job_retried_meanwhile",
    ),
    Mutation(
        "prune a job without recording its file",
        "discarded_files.py",
        "DiscardedFile.objects.bulk_create(recorded, ignore_conflicts=True)",
        "pass",
        "tests/test_retention.py::test_killed_prune_loses_no_file",
    ),
    Mutation(
        "forget the file of a job that is not deleted by docraptor_prune",
        "discarded_files.py",
        "    if record_files(rows.values_list(*FILE_COLUMNS)):",
        "    if False:",
        "tests/test_discarded_files.py::test_file_is_deleted_with_its_job",
    ),
    Mutation(
        "delete the file before the transaction commits",
        "discarded_files.py",
        "        on_commit_once(_DeletionAfterCommit(), using=using)",
        "        _DeletionAfterCommit()()",
        "tests/test_discarded_files.py::test_rolled_back_deletion_keeps_the_file",
    ),
    Mutation(
        "forget a file that the storage did not delete",
        "discarded_files.py",
        "_entries(deleted).delete()",
        "_entries(files).delete()",
        "tests/test_retention.py::test_file_that_cannot_be_deleted_is_tried_again",
    ),
    Mutation(
        "delete the files of a tenant in threads of another schema",
        "discarded_files.py",
        "len(files) == 1 or current_schema()",
        "len(files) == 1",
        "tests/test_discarded_files.py::test_files_of_a_tenant_are_deleted_in_its_thread",
    ),
    Mutation(
        "look for the jobs of a deleted user in the user's database",
        "models/relations.py",
        "sub_objs.using(jobs_database)",
        "sub_objs",
        "tests/e2e/test_second_database.py",
    ),
    Mutation(
        "end the visit of all tenants at a schema without tables",
        "management/commands/docraptor_tick.py",
        "if not current_schema():",
        "if True:",
        "tests/management/test_docraptor_tick.py::test_schema_without_tables_is_skipped",
    ),
    Mutation(
        "prune a job whose signal was not sent",
        "retention.py",
        "        ~Exists(unsent),\n",
        "",
        "tests/test_retention.py::test_prune_keeps_a_job_with_an_unsent_signal",
    ),
    Mutation(
        "show the API key in the client's variables",
        "client/calls.py",
        "        api_key = SecretText(api_key)\n",
        "        api_key = str(api_key)\n",
        "tests/integration/test_secrets.py::test_no_frame_has_the_key_in_a_variable",
    ),
    Mutation(
        "show a page after the end of its job",
        "views/document_pages.py",
        ", state__in=FETCHING_STATES)",
        ")",
        "tests/views/test_document_pages.py::test_token_ends_with_the_attempt",
    ),
    Mutation(
        "show every page to the token of one",
        "views/document_pages.py",
        "    if not is_same_page(job.input.url, path_info=request.path_info, query=request.GET):",
        "    if False:",
        "tests/views/test_document_pages.py::test_token_is_for_one_page",
    ),
    Mutation(
        "leave the token in the request, for error reports",
        "views/document_pages.py",
        'request.META[name].replace(token, "…")',
        "value",
        "tests/views/test_document_pages.py::test_token_is_in_no_report_of_an_error",
    ),
    Mutation(
        "send DocRaptor to the login page of a page's view",
        "views/document_pages.py",
        "    if 300 <= response.status_code < 400:",
        "    if False:",
        "tests/views/test_document_pages.py::test_redirect_is_not_followed",
    ),
    Mutation(
        "make a document of the login page",
        "preflight/inspection.py",
        "if path is not None and login_pages.needs_login(path, is_signed=is_signed):",
        "if False:",
        "tests/preflight/test_login_pages.py::test_page_that_needs_a_login_is_refused",
    ),
    Mutation(
        "leave the hosted document of a deleted job public",
        "discarded_files.py",
        "    if instance.hosted:\n        _record_hosted_document(instance)\n",
        "",
        "tests/lifecycle/test_hosting.py::test_document_of_a_deleted_job_expires",
    ),
    Mutation(
        "forget a hosted document that could not be expired",
        "lifecycle/hosting.py",
        "        return False\n    row.delete()",
        "    row.delete()",
        "tests/lifecycle/test_hosting.py::test_document_that_cannot_be_expired_is_tried_again",
    ),
    Mutation(
        "take an earlier file for a page that may have changed",
        "job_specs.py",
        "is_comparable = not spec.hosted and not spec.url",
        "is_comparable = not spec.hosted",
        "tests/documents/test_pages.py::test_page_is_generated_at_each_save",
    ),
    Mutation(
        "report the frames of the HTTP library, which have the API key",
        "client/failures.py",
        "error.with_traceback(None)",
        "error",
        "tests/integration/test_secrets.py::test_a_task_stopped_in_a_call_does_not_report_the_key",
    ),
]


def main() -> int:
    """Check or run every mutant; return the exit status."""
    parser = argparse.ArgumentParser(description="Break each guard and check that its test fails.")
    parser.add_argument(
        "--check", action="store_true", help="only check that the code and the tests exist"
    )
    options = parser.parse_args()
    problems = [problem for mutation in MUTATIONS for problem in find_problems(mutation)]
    for problem in problems:
        print(problem)
    if problems or options.check:
        return 1 if problems else 0
    return 1 if run_all() else 0


def find_problems(mutation: Mutation) -> Iterator[str]:
    """Yield what keeps a mutant from being made: the code to break, or its test, is missing."""
    file = PACKAGE / mutation.file
    text = file.read_text() if file.exists() else ""
    for old in (mutation.old, *(mutation.extra_change or ())[:1]):
        if (count := text.count(old)) != 1:
            yield f"{mutation.name}: {old!r} occurs {count} times in {mutation.file}"
    path, *names = mutation.test.split("::")
    if not (ROOT / path).exists():
        yield f"{mutation.name}: {path} does not exist"
    elif names and names[-1] not in _function_names(ROOT / path):
        yield f"{mutation.name}: {path} has no test {names[-1]}"


def _function_names(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def run_all() -> int:
    """Run every mutant, as many at once as there are cores, and return the number of survivors."""
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutation, (verdict, seconds) in zip(
            MUTATIONS, pool.map(run_mutant, MUTATIONS), strict=True
        ):
            survivors += verdict != "killed"
            print(f"{verdict:<9} {seconds:5.1f} s  {mutation.name}  [{mutation.test}]", flush=True)
    print(f"{len(MUTATIONS)} mutants, {survivors} not killed")
    return survivors


def run_mutant(mutation: Mutation) -> tuple[str, float]:
    """Run the test in a copy of the code with the broken guard.

    Returns:
        What became of the mutant, and the seconds that it took.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for name in ("django_docraptor", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        file = copy / "django_docraptor" / mutation.file
        text = file.read_text().replace(mutation.old, mutation.new)
        if mutation.extra_change:
            text = text.replace(*mutation.extra_change)
        file.write_text(text)
        options = ["-q", "-x", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, mutation.test],
            cwd=copy,
            capture_output=True,
            timeout=300,
            check=False,
        )
    verdict = {0: "SURVIVED", 1: "killed"}.get(done.returncode, f"ERROR {done.returncode}")
    return verdict, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
