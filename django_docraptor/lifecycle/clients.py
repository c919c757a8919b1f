"""Internal. Clients for DocRaptor, one per account and process, and concurrent calls.

HTTP calls run in threads; the database, and so the API keys, are read only by the calling thread.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from django.utils.module_loading import import_string

from django_docraptor import instrumentation
from django_docraptor.account_settings import AccountSettings, account_settings, hash_key
from django_docraptor.client import Timeouts
from django_docraptor.client.exchanges import Exchange, observed_exchange
from django_docraptor.conf import conf
from django_docraptor.exceptions import (
    CallError,
    ConfigurationError,
    DocRaptorError,
    ForbiddenError,
    NotFoundError,
    NotSentError,
    RejectedError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.leases import BEGIN_SECONDS
from django_docraptor.models import RenderJob
from django_docraptor.secret_text import SecretText

if TYPE_CHECKING:
    from django_docraptor.client import Client

logger = logging.getLogger(__name__)

R = TypeVar("R")
# Threads of a process for calls, begun when they are needed, and those that one account may have:
# one whose server hangs leaves threads to the others.
MAX_THREADS = 64
ACCOUNT_THREADS = 16
# Clients, and so connections, that a process keeps.
MAX_CLIENTS = 64
# Errors after which another key of the account may be able to ask for the same.
NOT_WITH_THIS_KEY = (UnauthorizedError, ForbiddenError, NotFoundError, RejectedError)


@dataclass(frozen=True, slots=True)
class KeyedClient:
    """An account's client, and which of its keys the client uses.

    Args:
        account: its name.
        key_hash: of the key that creates.
        client: with that key.
        settings: of the account, as they were when the key was read.
        others: clients with its other keys, by their hashes: what an earlier key has created, only
            that one may be able to ask for.
    """

    account: str
    key_hash: str
    client: "Client" = field(repr=False)
    settings: AccountSettings = field(repr=False)
    others: "Mapping[str, Client]" = field(default_factory=dict, repr=False)

    @property
    def key_hashes(self) -> set[str]:
        """The hashes of all its keys."""
        return {self.key_hash, *self.others}

    def call(
        self, name: str, function: "Callable[[Client], R]", *, job: RenderJob | None = None
    ) -> R:
        """Call a function with the client, and publish how that went.

        Args:
            name: of the client's method that the function calls.
            function: makes one call.
            job: the job that the call is for; it gets the response's request ID.

        Raises:
            CallError: the call failed; it says which key was used.
        """
        try:
            return self._observed(self.client, name, function, job)
        except CallError as error:
            error.key_hash = self.key_hash
            raise

    def ask(
        self, name: str, function: "Callable[[Client], R]", *, job: RenderJob | None = None
    ) -> R:
        """Call a function that creates nothing, with each key until one may ask.

        Args:
            name: of the client's method that the function calls.
            function: makes one call.
            job: the job that the call is for.

        Raises:
            CallError: the call failed; if no key may ask, the first key's error.
        """
        try:
            return self.call(name, function, job=job)
        except NOT_WITH_THIS_KEY as error:
            for client in self.others.values():
                with suppress(*NOT_WITH_THIS_KEY):
                    return self._observed(client, name, function, job)
            raise error

    def _observed(
        self, client: "Client", name: str, function: "Callable[[Client], R]", job: RenderJob | None
    ) -> R:
        """Call a function, note the response's ID for the job, and publish how the call went."""
        started, error_code = time.monotonic(), "unexpected"
        with observed_exchange() as exchange:
            try:
                result = function(client)
                error_code = ""
                return result
            except CallError as error:
                error_code = error.code
                raise
            finally:
                if job is not None:
                    job.request_id = exchange.request_id
                if instrumentation.receivers:
                    seconds = time.monotonic() - started
                    self._publish(name, exchange, error_code, seconds, job)

    def _publish(
        self, name: str, exchange: Exchange, error_code: str, seconds: float, job: RenderJob | None
    ) -> None:
        instrumentation.publish(
            instrumentation.CallMade(
                name=name,
                account=self.account,
                seconds=seconds,
                status=exchange.status,
                bytes_received=exchange.bytes_received,
                request_id=exchange.request_id,
                error_code=error_code,
                job=job.pk if job else None,
                document=job.document if job else "",
                trace_parent=job.trace_parent if job else "",
            )
        )


def client_for(account: str) -> "Client":
    """Return the client with which an account creates documents.

    Raises:
        ConfigurationError: there is no such account, no API key, the client class cannot be
            instantiated, or the proxy needs a missing package.
    """
    return open_client(account).client


def open_client(account: str) -> KeyedClient:
    """Read the account's settings and keys, and return its client.

    Raises:
        ConfigurationError: there is no such account, no API key, the client class cannot be
            instantiated, or the proxy needs a missing package.
    """
    from django_docraptor.client.transport import proxy_problem  # not before something is sent

    settings = account_settings(account)
    keys = settings.api_keys
    try:
        problem = proxy_problem(settings.base_url, conf.proxies)
        clients = {hash_key(key): _client_with(key, settings) for key in keys}
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # The message is left out, because it may contain the API key.
        raise ConfigurationError(
            f"DOCRAPTOR['CLIENT'] ({conf.client}) cannot be instantiated: {type(error).__name__}."
        ) from error
    if problem:
        raise ConfigurationError(problem)
    (first, client), *others = clients.items()
    return KeyedClient(account, first, client, settings, dict(others))


def _client_with(key: SecretText, settings: AccountSettings) -> "Client":
    return _build_client(
        os.getpid(),
        conf.client,
        key,
        settings.base_url,
        Timeouts(**conf.timeout),
        conf.max_document_bytes,
        tuple(conf.proxies.items()),
        str(conf.ca_bundle),
    )


@lru_cache(maxsize=MAX_CLIENTS)
def _build_client(
    _pid: int,
    path: str,
    api_key: SecretText,
    base_url: str,
    timeouts: Timeouts,
    max_document_bytes: int,
    proxies: tuple[tuple[str, str], ...],
    ca_bundle: str,
) -> "Client":
    client: Client = import_string(path)(
        api_key=api_key,
        base_url=base_url,
        timeouts=timeouts,
        max_document_bytes=max_document_bytes,
        proxies=dict(proxies) or None,
        ca_bundle=ca_bundle or None,
    )
    return client


class NotBegunError(NotSentError):
    """The call was not begun, because it would have outlived its claim.

    All threads were busy, or the process was suspended: that says nothing about DocRaptor.
    """

    code = "not_begun"


@lru_cache(maxsize=1)
def _executor(_pid: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="docraptor")


class ConcurrentCalls(Generic[R]):
    """Calls in progress, each for a job; their results come in the order of completion.

    A slow call does not delay the others. A call that cannot begin within BEGIN_SECONDS is not
    made. Used as a context manager: if the caller fails, what has not begun is not sent.
    """

    def __init__(self) -> None:
        self._results: SimpleQueue[tuple[RenderJob, R | BaseException]] = SimpleQueue()
        self._futures: set[Future[None]] = set()
        self.in_progress = 0

    def begin(
        self,
        call: Callable[[RenderJob], R],
        jobs: Sequence[RenderJob],
        *,
        stop: float | None = None,
        may_wait: bool = False,
    ) -> None:
        """Begin a call for each job.

        Args:
            call: to make.
            jobs: may be none.
            stop: when it is too late to begin; default: in BEGIN_SECONDS.
            may_wait: nothing else is to be begun meanwhile, so a single call needs no thread.
        """
        run = partial(self._run, call, stop or time.monotonic() + BEGIN_SECONDS)
        is_alone = may_wait and len(jobs) == 1 and not self.in_progress
        self.in_progress += len(jobs)
        if is_alone:
            run(jobs[0])
            return
        executor = _executor(os.getpid())
        self._futures |= {executor.submit(run, job) for job in jobs}

    def next_result(self) -> tuple[RenderJob, R | DocRaptorError]:
        """Wait for a call to end, and return its job with its result or its error."""
        job, outcome = self._results.get()
        self.in_progress -= 1
        if isinstance(outcome, BaseException) and not isinstance(outcome, DocRaptorError):
            raise outcome
        return job, outcome

    def _run(self, call: Callable[[RenderJob], R], stop: float, job: RenderJob) -> None:
        try:
            self._results.put((job, self._call_or_error(call, stop, job)))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._results.put((job, error))

    @staticmethod
    def _call_or_error(
        call: Callable[[RenderJob], R], stop: float, job: RenderJob
    ) -> R | DocRaptorError:
        try:
            if time.monotonic() > stop:
                raise NotBegunError("The call was not made, because slow calls took all threads.")
            return call(job)
        except DocRaptorError as error:
            return error
        except Exception as error:
            logger.exception(
                "Job %s: unexpected error in a call to DocRaptor", job.pk, extra=log_fields(job)
            )
            return UnknownOutcomeError(f"Unexpected {type(error).__name__} in the client")

    def __enter__(self) -> Self:
        """Return the calls."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Cancel what has not begun."""
        for future in self._futures:
            future.cancel()


def call_concurrently(
    call: Callable[[RenderJob], R], jobs: Iterable[RenderJob]
) -> Iterator[tuple[RenderJob, R | DocRaptorError]]:
    """Call a function for each job concurrently, for up to ACCOUNT_THREADS of an account at a time.

    Yields:
        Each job with its result or its error, as `ConcurrentCalls` returns them.
    """
    jobs, stop = list(jobs), time.monotonic() + BEGIN_SECONDS
    waiting: dict[str, deque[RenderJob]] = {}
    for job in jobs:
        waiting.setdefault(job.account, deque()).append(job)
    with ConcurrentCalls[R]() as calls:
        for queue in waiting.values():
            first = [queue.popleft() for _ in range(min(ACCOUNT_THREADS, len(queue)))]
            calls.begin(call, first, stop=stop, may_wait=len(jobs) == 1)
        while calls.in_progress:
            job, outcome = calls.next_result()
            if queue := waiting[job.account]:
                calls.begin(call, [queue.popleft()], stop=stop)
            yield job, outcome
