"""Prometheus: counters, histograms and gauges in the default registry of ``prometheus-client``.

Whatever exposes that registry exposes them. If ``PROMETHEUS_MULTIPROC_DIR`` is set, all processes
of a host share their values: see *Metrics and traces* in the documentation.
"""

from functools import singledispatch

from prometheus_client import Counter, Gauge, Histogram

from django_docraptor.instrumentation import CallMade, Event, JobMoved, QueueMeasured, StepTimed
from django_docraptor.metrics.labels import account_label, document_label, outcome_label
from django_docraptor.states import State

# Upper bounds in seconds: of a call or a step, and of a state, which may last for days.
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STATE_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 3600, 86_400)

CALLS = Counter("docraptor_calls", "Calls of DocRaptor's API.", ("call", "account", "outcome"))
CALL_SECONDS = Histogram(
    "docraptor_call_seconds", "Duration of calls.", ("call",), buckets=CALL_BUCKETS
)
RECEIVED_BYTES = Counter("docraptor_received_bytes", "Bytes of responses.", ("call",))
JOBS_MOVED = Counter(
    "docraptor_jobs_moved",
    "Changes of jobs' states; from_state is empty for new jobs.",
    ("document", "account", "from_state", "to_state", "test"),
)
JOBS_FAILED = Counter(
    "docraptor_jobs_failed", "Jobs that failed.", ("document", "account", "error_code")
)
STATE_SECONDS = Histogram(
    "docraptor_state_seconds",
    "Time that jobs were in a state, observed when they leave it.",
    ("document", "state"),
    buckets=STATE_BUCKETS,
)
STEP_SECONDS = Histogram(
    "docraptor_step_seconds",
    "Time to render HTML, to store a file, and from acceptance to callback.",
    ("document", "step"),
    buckets=CALL_BUCKETS,
)
# The process that measured last knows best.
QUEUE_JOBS = Gauge(
    "docraptor_queue_jobs",
    "Unfinished jobs, counted up to 1,000.",
    ("state",),
    multiprocess_mode="mostrecent",
)
QUEUE_LAG_SECONDS = Gauge(
    "docraptor_queue_lag_seconds",
    "Time since the first job of a state became due.",
    ("state",),
    multiprocess_mode="mostrecent",
)
ACCOUNT_QUEUE_JOBS = Gauge(
    "docraptor_account_queue_jobs",
    "Unfinished jobs of an account, counted up to 1,000.",
    ("account", "state"),
    multiprocess_mode="mostrecent",
)
ACCOUNT_QUEUE_LAG_SECONDS = Gauge(
    "docraptor_account_queue_lag_seconds",
    "Time since the first job of an account and a state became due.",
    ("account", "state"),
    multiprocess_mode="mostrecent",
)


@singledispatch
def receive(event: Event) -> None:
    """Count an event; one of another kind is left out."""


@receive.register
def _call(event: CallMade) -> None:
    account, outcome = account_label(event.account), outcome_label(event.error_code)
    CALLS.labels(event.name, account, outcome).inc()
    CALL_SECONDS.labels(event.name).observe(event.seconds)
    RECEIVED_BYTES.labels(event.name).inc(event.bytes_received)


@receive.register
def _move(event: JobMoved) -> None:
    document, account = document_label(event.document), account_label(event.account)
    is_test = "true" if event.is_test else "false"
    JOBS_MOVED.labels(document, account, event.from_state, event.to_state, is_test).inc()
    if event.to_state == State.FAILED:
        JOBS_FAILED.labels(document, account, event.error_code).inc()
    if event.seconds_in_state is not None:
        STATE_SECONDS.labels(document, event.from_state).observe(event.seconds_in_state)


@receive.register
def _step(event: StepTimed) -> None:
    STEP_SECONDS.labels(document_label(event.document), event.name).observe(event.seconds)


@receive.register
def _queue(event: QueueMeasured) -> None:
    if not event.account:
        QUEUE_JOBS.labels(event.state).set(event.depth)
        QUEUE_LAG_SECONDS.labels(event.state).set(event.lag_seconds)
    elif (account := account_label(event.account)) == event.account:  # several are not one
        ACCOUNT_QUEUE_JOBS.labels(account, event.state).set(event.depth)
        ACCOUNT_QUEUE_LAG_SECONDS.labels(account, event.state).set(event.lag_seconds)
