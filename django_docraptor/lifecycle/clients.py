"""Internal. Clients for DocRaptor, one per account and process, and concurrent calls.

HTTP calls run in threads; the database, and so the API keys, are read only by the calling thread.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from django.utils.module_loading import import_string

from django_docraptor import instrumentation
from django_docraptor.client import Timeouts
from django_docraptor.client.exchanges import Exchange, observed_exchange
from django_docraptor.conf import conf
from django_docraptor.exceptions import (
    CallError,
    ConfigurationError,
    DocRaptorError,
    NotSentError,
    UnknownOutcomeError,
)
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.leases import BEGIN_SECONDS
from django_docraptor.models import RenderJob, hash_key
from django_docraptor.secret_text import SecretText

if TYPE_CHECKING:
    from django_docraptor.client import Client

logger = logging.getLogger(__name__)

R = TypeVar("R")
MAX_THREADS = 16


@dataclass(frozen=True, slots=True)
class KeyedClient:
    """An account's client, and which of its keys the client uses."""

    account: str
    key_hash: str
    client: "Client" = field(repr=False)

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
    """Return the account's client.

    Raises:
        ConfigurationError: there is no API key, the client class cannot be instantiated, or the
            proxy needs a missing package.
    """
    return open_client(account).client


def open_client(account: str) -> KeyedClient:
    """Read the account's key, and return its client.

    Raises:
        ConfigurationError: there is no API key, the client class cannot be instantiated, or the
            proxy needs a missing package.
    """
    from django_docraptor.client.transport import proxy_problem  # not before something is sent

    key = conf.get_api_key(account)
    try:
        problem = proxy_problem(conf.base_url, conf.proxies)
        client = _build_client(
            os.getpid(),
            conf.client,
            key,
            conf.base_url,
            Timeouts(**conf.timeout),
            conf.max_document_bytes,
            tuple(conf.proxies.items()),
            str(conf.ca_bundle),
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # The message is left out, because it may contain the API key.
        raise ConfigurationError(
            f"DOCRAPTOR['CLIENT'] ({conf.client}) cannot be instantiated: {type(error).__name__}."
        ) from error
    if problem:
        raise ConfigurationError(problem)
    return KeyedClient(account, hash_key(key), client)


@lru_cache(maxsize=16)
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


def call_concurrently(
    call: Callable[[RenderJob], R], jobs: Iterable[RenderJob]
) -> Iterator[tuple[RenderJob, R | DocRaptorError]]:
    """Call a function for each job concurrently.

    Yields:
        Each job with its result or its error, in the order of completion: a slow call does not
        delay the others. A call that cannot begin within BEGIN_SECONDS is not made.
    """
    stop = time.monotonic() + BEGIN_SECONDS

    def call_or_error(job: RenderJob) -> R | DocRaptorError:
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

    jobs = list(jobs)
    if len(jobs) == 1:
        yield jobs[0], call_or_error(jobs[0])
        return
    executor = _executor(os.getpid())
    futures = {executor.submit(call_or_error, job): job for job in jobs}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:  # the caller has failed: what has not begun is not sent
        for future in futures:
            future.cancel()
