"""The way to DocRaptor: one client an account and process, and many calls at once.

HTTP may use threads, the database only the calling thread.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

from django.utils.module_loading import import_string

from django_docraptor.client import Client, Timeouts
from django_docraptor.conf import conf
from django_docraptor.exceptions import (
    ConfigurationError,
    DocRaptorError,
    UnknownOutcomeError,
)
from django_docraptor.models import RenderJob, logger

R = TypeVar("R")
THREADS = 16


def client_for(account: str) -> Client:
    """The account's client. Raises ConfigurationError without an API key, or a class to make it."""
    key = conf.key_for(account)
    try:
        return _client(
            os.getpid(),
            conf.client,
            key,
            conf.base_url,
            Timeouts(**conf.timeout),
            conf.max_document_bytes,
            tuple(conf.proxies.items()),
            str(conf.ca_bundle),
        )
    except Exception as error:
        raise ConfigurationError(  # without its text, which may tell the key
            f"DOCRAPTOR['CLIENT'], {conf.client}, cannot be made: {type(error).__name__}."
        ) from error


@lru_cache(maxsize=16)
def _client(
    _process: int,
    path: str,
    api_key: str,
    base_url: str,
    timeouts: Timeouts,
    max_document_bytes: int,
    proxies: tuple[tuple[str, str], ...],
    ca_bundle: str,
) -> Client:
    client: Client = import_string(path)(
        api_key=api_key,
        base_url=base_url,
        timeouts=timeouts,
        max_document_bytes=max_document_bytes,
        proxies=dict(proxies) or None,
        ca_bundle=ca_bundle or None,
    )
    return client


@lru_cache(maxsize=1)
def _threads(_process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="docraptor")


def call_all(
    call: Callable[[RenderJob], R], jobs: Iterable[RenderJob]
) -> Iterator[tuple[RenderJob, R | DocRaptorError]]:
    """Make a call for each job, many at once; yield each with its answer or its error."""

    def guarded(job: RenderJob) -> R | DocRaptorError:
        try:
            return call(job)
        except DocRaptorError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a custom client may raise anything
            logger.exception("Unexpected error in a call for job %s", job.pk)
            return UnknownOutcomeError(f"{type(error).__name__} in the client")

    jobs = list(jobs)
    if len(jobs) == 1:
        yield jobs[0], guarded(jobs[0])
        return
    yield from zip(jobs, _threads(os.getpid()).map(guarded, jobs), strict=True)
