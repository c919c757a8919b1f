"""What follows an error: how long to wait, or which error code. Kind and time decide."""

from itertools import pairwise

import pytest
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation

from django_docraptor.conf import conf
from django_docraptor.exceptions import (
    CallError,
    ConfigurationError,
    DocumentTooLargeError,
    ForbiddenError,
    NotADocumentError,
    NotFoundError,
    NotSentError,
    RateLimitError,
    RejectedError,
    ResponseError,
    Sent,
    ServerError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from django_docraptor.lifecycle.composition import CompositionError
from django_docraptor.lifecycle.patience import (
    GiveUp,
    Kind,
    Stage,
    Wait,
    backoff_delay,
    decide,
    kind_of,
)
from django_docraptor.lifecycle.post_processing import PostProcessError
from django_docraptor.spool import SpoolError
from django_docraptor.states import ErrorCode

HOUR, DAY = 3_600.0, 86_400.0
ANSWERED = (Stage.STATUS, Stage.DOWNLOAD)
REFUSED_CREATE = ForbiddenError("no permission", status=403, retryable=False, sent=Sent.NO)
NOT_PROCESSED = ResponseError("early", status=425, retryable=True, sent=Sent.NO)
CUT = UnknownOutcomeError("cut", status=200)
# Stage, error, its kind, and the error code after a time without end.
RULES = [
    (Stage.CREATE, NotSentError("refused"), Kind.NOT_SENT, ErrorCode.SUBMIT_FAILED),
    (Stage.CREATE, ConfigurationError("no key"), Kind.NOT_SENT, ErrorCode.CONFIGURATION_ERROR),
    (
        Stage.CREATE,
        RateLimitError("busy", status=429, sent=Sent.NO),
        Kind.NOT_NOW,
        ErrorCode.SUBMIT_FAILED,
    ),
    (Stage.CREATE, NOT_PROCESSED, Kind.NOT_NOW, ErrorCode.SUBMIT_FAILED),
    (Stage.CREATE, REFUSED_CREATE, Kind.NOT_YET, ErrorCode.REJECTED),
    (Stage.CREATE, RejectedError("blank", status=422), Kind.VERDICT, ErrorCode.REJECTED),
    (Stage.TEMPLATE, CompositionError(ErrorCode.TEMPLATE_ERROR, "bug"), Kind.VERDICT, None),
    (
        Stage.TEMPLATE,
        CompositionError(ErrorCode.TEMPLATE_ERROR, "deadlock", retryable=True),
        Kind.OURS,
        ErrorCode.TEMPLATE_ERROR,
    ),
    (Stage.STATUS, NotFoundError("no", status=404), Kind.GONE, ErrorCode.STATUS_UNAVAILABLE),
    (Stage.STATUS, ForbiddenError("no", status=403), Kind.GONE, ErrorCode.STATUS_UNAVAILABLE),
    (
        Stage.STATUS,
        NotFoundError("page", status=404, retryable=True),
        Kind.NOT_NOW,
        ErrorCode.STATUS_UNAVAILABLE,
    ),
    (Stage.STATUS, NotSentError("refused"), Kind.NOT_SENT, ErrorCode.STATUS_UNAVAILABLE),
    (Stage.STATUS, ConfigurationError("no key"), Kind.NOT_SENT, ErrorCode.STATUS_UNAVAILABLE),
    (Stage.STATUS, CUT, Kind.UNREADABLE, ErrorCode.STATUS_UNAVAILABLE),
    (Stage.DOWNLOAD, RejectedError("no", status=400), Kind.NOT_YET, ErrorCode.DOWNLOAD_REFUSED),
    (Stage.DOWNLOAD, ForbiddenError("no", status=403), Kind.NOT_YET, ErrorCode.DOWNLOAD_REFUSED),
    (Stage.DOWNLOAD, NotFoundError("no", status=404), Kind.NOT_YET, ErrorCode.DOWNLOAD_REFUSED),
    (
        Stage.DOWNLOAD,
        ForbiddenError("page", status=403, retryable=True),
        Kind.NOT_NOW,
        ErrorCode.DOWNLOAD_FAILED,
    ),
    (Stage.DOWNLOAD, ServerError("502", status=502), Kind.UNREADABLE, ErrorCode.DOWNLOAD_FAILED),
    (Stage.DOWNLOAD, CUT, Kind.UNREADABLE, ErrorCode.DOWNLOAD_FAILED),
    (Stage.DOWNLOAD, NotADocumentError("empty"), Kind.UNREADABLE, ErrorCode.NOT_A_DOCUMENT),
    (Stage.DOWNLOAD, LookupError("client's"), Kind.UNREADABLE, ErrorCode.DOWNLOAD_FAILED),
    (Stage.DOWNLOAD, SpoolError("full"), Kind.OURS, ErrorCode.DOWNLOAD_FAILED),
    (Stage.DOWNLOAD, OSError(28, "full"), Kind.OURS, ErrorCode.DOWNLOAD_FAILED),
    (
        Stage.DOWNLOAD,
        DocumentTooLargeError("big"),
        Kind.VERDICT,
        ErrorCode.DOCUMENT_TOO_LARGE,
    ),
    (Stage.POST_PROCESS, PostProcessError("bug"), Kind.VERDICT, ErrorCode.POST_PROCESS_FAILED),
    (
        Stage.POST_PROCESS,
        PostProcessError("deadlock", retryable=True),
        Kind.OURS,
        ErrorCode.POST_PROCESS_FAILED,
    ),
    (Stage.STORAGE, OSError(28, "full"), Kind.OURS, ErrorCode.STORAGE_ERROR),
    (Stage.STORAGE, SuspiciousFileOperation("../"), Kind.VERDICT, ErrorCode.STORAGE_ERROR),
    (Stage.STORAGE, ImproperlyConfigured("alias"), Kind.VERDICT, ErrorCode.STORAGE_ERROR),
]
PASSING = [rule for rule in RULES if rule[2] not in (Kind.VERDICT, Kind.NOT_YET, Kind.GONE)]
REFUSED = [rule for rule in RULES if rule[2] in (Kind.NOT_YET, Kind.GONE)]


def rule_id(value: object) -> str:
    """Return a test's ID for a value."""
    if isinstance(value, CallError):
        return f"{value.code}-{value.status or value.sent}"
    return type(value).__name__ if isinstance(value, Exception) else str(value)


@pytest.mark.parametrize(("stage", "error", "kind", "code"), RULES, ids=rule_id)
def test_errors_have_kinds(
    stage: Stage, error: Exception, kind: Kind, code: ErrorCode | None
) -> None:
    """Each error has the kind of the table, and its error code when time is over."""
    assert kind_of(stage, error) == kind
    decision = decide(stage, error, failing_seconds=10 * DAY, refused_seconds=10 * DAY)
    assert isinstance(decision, GiveUp)
    assert decision.code == (code or ErrorCode.TEMPLATE_ERROR)


@pytest.mark.parametrize(("stage", "error", "kind", "code"), PASSING, ids=rule_id)
def test_passing_error_waits_for_days(
    stage: Stage, error: Exception, kind: Kind, code: ErrorCode
) -> None:
    """However often it has failed, and however long DocRaptor refused: RETRY_FOR decides."""
    for failures in (0, 3, 20, 30_000):
        waited = decide(
            stage, error, failures=failures, failing_seconds=2.9 * DAY, refused_seconds=2.9 * DAY
        )
        assert isinstance(waited, Wait)
    assert decide(stage, error, failing_seconds=3 * DAY) == GiveUp(code)


@pytest.mark.parametrize(("stage", "error", "kind", "code"), REFUSED, ids=rule_id)
def test_refusal_counts_after_an_hour(
    stage: Stage, error: Exception, kind: Kind, code: ErrorCode
) -> None:
    """A refusal waits for an hour of nothing else, however long something else failed before."""
    waited = decide(stage, error, failures=400, failing_seconds=DAY, refused_seconds=HOUR - 1)
    assert isinstance(waited, Wait)
    decision = decide(stage, error, failing_seconds=HOUR, refused_seconds=HOUR)
    assert isinstance(decision, GiveUp)
    assert decision.code == code


@pytest.mark.parametrize(("stage", "error", "kind", "code"), RULES, ids=rule_id)
def test_verdict_needs_no_time(stage: Stage, error: Exception, kind: Kind, code: ErrorCode) -> None:
    """Only a verdict ends at once."""
    assert isinstance(decide(stage, error), GiveUp) == (kind == Kind.VERDICT)


@pytest.mark.parametrize("stage", ANSWERED)
def test_short_retry_for_ends_refusals_too(stage: Stage, settings) -> None:
    """RETRY_FOR bounds every wait, also below an hour."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETRY_FOR": 60}
    for error in (NotFoundError("no", status=404), ServerError("500", status=500)):
        assert isinstance(decide(stage, error, failing_seconds=59), Wait)
        assert isinstance(decide(stage, error, failing_seconds=60), GiveUp)


@pytest.mark.parametrize("stage", [Stage.CREATE, *ANSWERED])
def test_401_waits_without_limit(stage: Stage) -> None:
    """A rejected key concerns the account, never the job."""
    error = UnauthorizedError("wrong key", status=401)
    assert kind_of(stage, error) == Kind.ACCOUNT
    assert isinstance(decide(stage, error, failing_seconds=100 * DAY), Wait)


@pytest.mark.parametrize(
    "error",
    [
        UnknownOutcomeError("reset"),
        UnknownOutcomeError("cut", status=200, sent=Sent.YES),
        *(ServerError("oops", status=status) for status in (500, 502, 503, 504)),
        UnknownOutcomeError("redirect", status=307),
    ],
    ids=rule_id,
)
def test_create_that_may_be_accepted_is_unknown(error: CallError) -> None:
    """A create that may have been accepted is never simply sent again."""
    assert kind_of(Stage.CREATE, error) == Kind.UNKNOWN


@pytest.mark.parametrize("stage", [Stage.CREATE, *ANSWERED])
@pytest.mark.parametrize("retry_after", [120.0, DAY])
def test_retry_after_is_respected(stage: Stage, retry_after: float) -> None:
    """A wait is at least as long as Retry-After, on every call."""
    error = RateLimitError("busy", status=429, sent=Sent.NO, retry_after=retry_after)
    assert decide(stage, error) == Wait(retry_after)


@pytest.mark.parametrize("retry_after", [0.0, 1.0])
def test_short_retry_after_does_not_replace_the_backoff(retry_after: float) -> None:
    """A service that always says "in a second" is not asked every second for three days."""
    error = ServerError("busy", status=503, retry_after=retry_after)
    decision = decide(Stage.STATUS, error, failures=20)
    assert isinstance(decision, Wait)
    assert decision.delay >= 150


def test_backoff_grows_to_five_minutes() -> None:
    """The delays are 2, 4, 8 … 300 seconds, each shortened by up to a half."""
    for failures, longest in enumerate([2, 4, 8, 16, 32, 64, 128, 256, 300, 300]):
        assert longest / 2 <= backoff_delay(failures) <= longest
    assert backoff_delay(32_767) <= 300


def downloads_in(error: Exception) -> int:
    """Return how many downloads follow one another until a job gives up."""
    age, count = 0.0, 0
    while isinstance(
        decision := decide(Stage.DOWNLOAD, error, failures=count, failing_seconds=age), Wait
    ):
        age, count = age + decision.delay, count + 1
    return count


@pytest.mark.parametrize(
    "error", [CUT, NotADocumentError("empty"), OSError(28, "full")], ids=rule_id
)
def test_served_downloads_stay_below_docraptors_limit(error: Exception) -> None:
    """A body that was served may use up one of the 100 downloads: three days take fewer."""
    assert max(downloads_in(error) for _ in range(20)) < 100
    assert downloads_in(ServerError("502", status=502)) > 800


def test_gone_needs_a_retry_that_asked() -> None:
    """Only a refused file, or an unknown status, can show that the document is gone."""
    old = {"failing_seconds": HOUR, "refused_seconds": HOUR}
    no_status = decide(Stage.STATUS, NotFoundError("no", status=404), **old)
    assert no_status == GiveUp(ErrorCode.STATUS_UNAVAILABLE, ErrorCode.DOCUMENT_GONE)
    no_file = decide(Stage.DOWNLOAD, RejectedError("no", status=400), **old)
    assert no_file == GiveUp(ErrorCode.DOWNLOAD_REFUSED, ErrorCode.DOCUMENT_GONE)
    forbidden = decide(Stage.STATUS, ForbiddenError("no", status=403), **old)
    assert forbidden == GiveUp(ErrorCode.STATUS_UNAVAILABLE)


def test_kinds_cover_every_stage() -> None:
    """Each stage has a rule above, and the waits of a row never shrink to nothing."""
    assert {rule[0] for rule in RULES} == set(Stage)
    delays = [backoff_delay(failures) for failures in range(9)]
    assert all(later > earlier / 2 for earlier, later in pairwise(delays))
    assert conf.retry_for == 3 * DAY
