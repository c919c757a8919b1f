"""Internal. What a health report contains, and the sentences that tell people about problems.

Reads no database: ``health`` does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_docraptor import advice
from django_docraptor.conf import conf
from django_docraptor.durations import format_duration

# Default seconds by which a job may be overdue before it is a problem: several ticks.
DEFAULT_MAX_LAG = 60.0
# Seconds without a sign of life after which people are told: more than cron's minute.
MAX_SILENCE = 90.0
# Late accounts that are named.
MAX_NAMED_ACCOUNTS = 5
# What ends a sentence, also in Arabic, Chinese and Japanese.
END_MARKS = (".", "!", "?", "…", "\u061f", "\u3002", "\uff01", "\uff1f")


def format_count(count: int, *, is_truncated: bool) -> str:
    """Return a number, with a plus sign if there may be more."""
    return f"{count}+" if is_truncated else str(count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Why jobs of an account wait, and until when. The reason is for people, without secrets."""

    account: str
    reason: str
    since: datetime | None
    #: ``None``: until a person resumes the account.
    until: datetime | None
    #: Whether a key of the account makes no calls at all; otherwise documents that DocRaptor has
    #: accepted go on.
    stops_all: bool = False
    #: Consecutive failures of the service that opened the circuit; ``None`` for a pause.
    failures: int | None = None
    #: Whether a person has paused the account.
    is_by_person: bool = False

    def __str__(self) -> str:
        values = {"account": self.account, "until": self._end(), "reason": self.reason}
        if self.until is None:
            return _("Account “%(account)s” is paused until it is resumed: %(reason)s") % values
        if self.failures is None:
            return _("Account “%(account)s” is paused until %(until)s: %(reason)s") % values
        text = ngettext(
            "Account “%(account)s” submits no new documents until %(until)s after %(count)d "
            "consecutive failure: %(reason)s",
            "Account “%(account)s” submits no new documents until %(until)s after %(count)d "
            "consecutive failures: %(reason)s",
            self.failures,
        )
        return text % {**values, "count": self.failures}

    def _end(self) -> str:
        """Return the time of the end, with its date unless that is near; "" if it has none."""
        if self.until is None:
            return ""
        is_near = self.until - datetime.now(UTC) < timedelta(hours=12)
        return f"{self.until:%H:%M:%S} UTC" if is_near else f"{self.until:%Y-%m-%d %H:%M} UTC"


def account_problem(restriction: Restriction) -> str:
    """Return why jobs of an account wait, and what to do."""
    remedy = advice.RESUME_PAUSED if restriction.is_by_person else advice.RESUME
    return f"{as_sentence(str(restriction))} {remedy}"


def as_sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with a mark of its own."""
    return text if text.endswith(END_MARKS) else f"{text}."


@dataclass(frozen=True, slots=True, kw_only=True)
class LateJobs:
    """Jobs of an account that are due, and which no worker has claimed."""

    account: str
    count: int
    #: Seconds since the first of them became due.
    lag: float
    #: Whether there may be more than were counted.
    is_truncated: bool = False

    def __str__(self) -> str:
        text = ngettext(
            "%(number)s job of account “%(account)s” has been due for %(lag)s.",
            "%(number)s jobs of account “%(account)s” are due, the first for %(lag)s.",
            self.count,
        )
        number = format_count(self.count, is_truncated=self.is_truncated)
        return text % {
            "number": number,
            "account": self.account,
            "lag": format_duration(self.lag),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PostponedJobs:
    """Jobs that have failed again and again for more than an hour, and are tried again."""

    count: int
    #: Whether there are more than were counted.
    is_truncated: bool
    #: Seconds since the first of them began to fail.
    failing_seconds: float
    #: The commonest error, on one line.
    reason: str

    def __str__(self) -> str:
        text = ngettext(
            "%(number)s job has been postponed again and again for %(duration)s, because of: "
            "%(reason)s It is tried again for %(limit)s in all; its page in the admin says more.",
            "%(number)s jobs have been postponed again and again, the first for %(duration)s, "
            "mostly because of: %(reason)s They are tried again for %(limit)s in all; their pages "
            "in the admin say more.",
            self.count,
        )
        return text % self._values()

    def _values(self) -> dict[str, str]:
        return {
            "number": format_count(self.count, is_truncated=self.is_truncated),
            "duration": format_duration(self.failing_seconds),
            "reason": as_sentence(self.reason),
            "limit": format_duration(conf.retry_for),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class UnprovenJobs(PostponedJobs):
    """Jobs of unknown outcome, which are not sent again without proof, for more than an hour."""

    def __str__(self) -> str:
        text = ngettext(
            "%(number)s job has waited for %(duration)s for proof whether DocRaptor accepted it: "
            "%(reason)s It is not sent again without proof, and fails after %(limit)s. To decide "
            "now, look for its ID in DocRaptor's log. If it is not listed, cancel the job and ask "
            "for the document again.",
            "%(number)s jobs have waited for proof whether DocRaptor accepted them, the first for "
            "%(duration)s, mostly because of: %(reason)s They are not sent again without proof, "
            "and fail after %(limit)s. To decide now, look for their IDs in DocRaptor's log. If "
            "one is not listed, cancel the job and ask for the document again.",
            self.count,
        )
        return text % self._values()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachedBudget:
    """A budget whose soft or hard limit is reached."""

    #: ``account``, ``document`` or ``owner``, and its name.
    kind: str
    name: str
    #: ``day`` or ``month``.
    period: str
    used: int
    limit: int
    #: When the next period begins.
    ends_at: datetime

    def __str__(self) -> str:
        text = _(
            "The budget “%(scope)s” is used up, or nearly: %(used)s documents, the limit is "
            "%(limit)s. The next period begins at %(time)s."
        )
        return text % {
            "scope": f"{self.kind} {self.name}, {self.period}",
            "used": self.used,
            "limit": self.limit,
            "time": f"{self.ends_at:%Y-%m-%d %H:%M} UTC",
        }


def engine_problem(since_tick: float | None, since_worker: float | None) -> str:
    """Return that no worker and no tick was seen for MAX_SILENCE, and what to do; or "".

    Args:
        since_tick: seconds since the last tick; ``None`` if there was none.
        since_worker: the same for the last worker.
    """
    since = min((each for each in (since_tick, since_worker) if each is not None), default=None)
    if since is None:
        return f"{advice.NEVER_RAN} {advice.START_ENGINE}"
    if since <= MAX_SILENCE:
        return ""
    problem = str(advice.NOT_SEEN) % {"duration": format_duration(since)}
    return f"{problem} {advice.START_ENGINE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """State of the queue and the engine at one time of the database's clock."""

    now: datetime
    #: Jobs in each unfinished state, at most ``max_counted``.
    counts: Mapping[str, int]
    #: Seconds by which the most overdue job is late, or 0. Jobs that wait for a free slot are not
    #: late.
    lag: float
    #: Seconds since the last tick, worker activity and callback; ``None`` if there was none.
    seconds_since_tick: float | None
    seconds_since_worker: float | None
    seconds_since_callback: float | None
    #: Why accounts are paused or submit nothing new.
    restrictions: Sequence[Restriction]
    #: Jobs that are due, for each account, the latest first.
    late: Sequence[LateJobs] = ()
    #: Jobs that have been postponed for more than an hour.
    postponed: PostponedJobs | None = None
    #: Jobs that have waited for more than an hour for proof whether DocRaptor accepted them.
    unproven: UnprovenJobs | None = None
    #: Latest documents within a day whose callbacks have not arrived; 0 if one has.
    missed_callbacks: int = 0
    #: Files of jobs that were deleted more than a day ago, which the storage has not deleted.
    undeleted_files: int = 0
    #: Hosted documents of such jobs that could not be expired, so that they are still public.
    unexpired_documents: int = 0
    #: Deliveries and hooks (``on_completed()``, ``on_failed()``) that have failed for about half an
    #: hour or longer.
    failing_follow_ups: int = 0
    #: The last one that was given up within a week, with the reason.
    abandoned_follow_up: str = ""

    #: Held jobs, and the name of one of them.
    held: int = 0
    held_name: str = ""
    #: Why it is held.
    held_reason: str = ""
    #: Budgets whose soft or hard limit is reached.
    budgets: Sequence[ReachedBudget] = ()
    #: How far the jobs of a state are counted: a count that reaches it means that many or more.
    #: ``None`` if all were counted.
    max_counted: int | None = None

    def problems(self, max_lag: float = DEFAULT_MAX_LAG) -> list[str]:
        """Return one sentence per problem; empty if there is none."""
        return [
            *self.lateness_problems(max_lag),
            *self._account_problems(),
            *self.waiting_problems(),
            *map(str, self.budgets),
            *self._callback_problems(),
            *self._file_problems(),
            *self._follow_up_problems(),
        ]

    def format_count(self, count: int) -> str:
        """Return a count, with a plus sign if there may be more."""
        limit = self.max_counted
        return format_count(count, is_truncated=limit is not None and count >= limit)

    def banner(self) -> list[str]:
        """Return the problems, except those of accounts, which the admin shows in its own words."""
        of_accounts = set(self._account_problems())
        return [problem for problem in self.problems() if problem not in of_accounts]

    @property
    def restricted_accounts(self) -> dict[str, str]:
        """Accounts that are paused or submit nothing new, with the reasons, one on each line."""
        texts: dict[str, list[str]] = {}
        for restriction in self.restrictions:
            texts.setdefault(restriction.account, []).append(str(restriction))
        return {account: "\n".join(lines) for account, lines in texts.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-serializable data."""
        data = asdict(self)
        del data["restrictions"]
        return data | {
            "now": self.now.isoformat(),
            "restricted_accounts": self.restricted_accounts,
            "problems": self.problems(),
        }

    def lateness_problems(self, max_lag: float = DEFAULT_MAX_LAG) -> list[str]:
        """Return which jobs are late and why, if one is later than ``max_lag`` seconds."""
        late = [jobs for jobs in self.late if jobs.lag > max_lag]
        if not late:
            return []
        sentences = [str(jobs) for jobs in late[:MAX_NAMED_ACCOUNTS]]
        if (others := len(late) - MAX_NAMED_ACCOUNTS) > 0:
            more = ngettext(
                "Jobs of %(count)d more account are late.",
                "Jobs of %(count)d more accounts are late.",
                others,
            )
            sentences.append(more % {"count": others})
        return [" ".join([*sentences, self._reason_of_lateness(max_lag)])]

    def _reason_of_lateness(self, max_lag: float) -> str:
        """Return why jobs are late, and what to do."""
        since = self.seconds_since_tick
        if since is not None and since <= max_lag:
            return _(
                "Ticks arrive. Check that the Celery workers are running and not all busy, or run "
                "docraptor_tick in more processes."
            )
        if since is not None:
            text = advice.LATE_TICK % {"duration": format_duration(since)}
        elif self.seconds_since_worker is not None:
            text = str(advice.NO_TICK)
        else:
            text = _("The engine has never run.")
        return f"{text} {advice.START_ENGINE}"

    def engine_problem(self) -> str:
        """Return that no worker and no tick was seen lately, and what to do; or "".

        It is known before a job is late, and is no problem while there is nothing to do.
        """
        return engine_problem(self.seconds_since_tick, self.seconds_since_worker)

    @property
    def seconds_since_engine(self) -> float | None:
        """Seconds since the last tick or worker, whichever is later; ``None`` if there was none."""
        times = (self.seconds_since_tick, self.seconds_since_worker)
        return min((each for each in times if each is not None), default=None)

    def waiting_problems(self) -> list[str]:
        """Return which jobs are held, unproven or postponed again and again, if there are any."""
        postponed = [str(jobs) for jobs in (self.unproven, self.postponed) if jobs]
        if not self.held:
            return postponed
        text = ngettext(
            "%(number)s job is held, such as “%(name)s”: %(reason)s. Its page in the admin says "
            "more. Release it there if it is wanted, or cancel it.",
            "%(number)s jobs are held, such as “%(name)s”: %(reason)s. Their pages in the admin "
            "say more. Release them there if they are wanted, or cancel them.",
            self.held,
        )
        number = self.format_count(self.held)
        values = {"number": number, "name": self.held_name, "reason": self.held_reason}
        return [text % values, *postponed]

    def _account_problems(self) -> list[str]:
        return [account_problem(restriction) for restriction in self.restrictions]

    def _callback_problems(self) -> Iterator[str]:
        if self.missed_callbacks:
            text = ngettext(
                "Callbacks do not arrive: the latest document was found by polling, because none "
                "arrived for it.",
                "Callbacks do not arrive: the latest %(count)d documents were found by polling, "
                "because none arrived for them.",
                self.missed_callbacks,
            )
            remedy = _(
                "Run docraptor_check, which sends one to this site. Then send a POST to "
                "%(url)s/docraptor/callback/x/ (or where django_docraptor.urls is) from another "
                "network. It must be answered 404 by this site. 301: %(redirected)s 400: "
                "%(bad_host)s 401 or 403: %(refused)s If CALLBACK_BASE_URL is new, generate a "
                "document to try it. To only poll, remove it."
            )
            values = {
                "url": conf.callback_base_url.rstrip("/"),
                "redirected": advice.CALLBACK_REDIRECTED,
                "bad_host": advice.CALLBACK_BAD_HOST,
                "refused": advice.CALLBACK_REFUSED,
            }
            yield f"{text % {'count': self.missed_callbacks}} {remedy % values}"

    def _follow_up_problems(self) -> Iterator[str]:
        if count := self.failing_follow_ups:
            text = ngettext(
                "%(count)d delivery, e-mail or hook (on_completed(), on_failed()) has been failing "
                "for a while. It is tried again; the history of the job has the error.",
                "%(count)d deliveries, e-mails or hooks (on_completed(), on_failed()) have been "
                "failing for a while. They are tried again; the history of the jobs has the "
                "errors.",
                count,
            )
            yield text % {"count": count}
        if self.abandoned_follow_up:
            text = _(
                "Given up: %(what)s. Correct the cause, and call deliver(job) or complete(job) of "
                "the document's class."
            )
            yield text % {"what": self.abandoned_follow_up}

    def _file_problems(self) -> Iterator[str]:
        if count := self.undeleted_files:
            text = ngettext(
                "%(count)d file of a deleted job could not be removed from the storage for more "
                "than a day. Allow this site to delete there; its log has the storage's error.",
                "%(count)d files of deleted jobs could not be removed from the storage for more "
                "than a day. Allow this site to delete there; its log has the storage's error.",
                count,
            )
            yield text % {"count": count}
        if count := self.unexpired_documents:
            text = ngettext(
                "%(count)d hosted document of a deleted job could not be expired for more than a "
                "day, so it is still public. The site's log has DocRaptor's error.",
                "%(count)d hosted documents of deleted jobs could not be expired for more than a "
                "day, so they are still public. The site's log has DocRaptor's error.",
                count,
            )
            yield text % {"count": count}
