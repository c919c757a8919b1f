"""Internal. System checks for the configuration. Each has an ID, a message and a hint.

The IDs are listed in docs/reference/checks.md.
"""

import difflib
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.storage import FileSystemStorage
from django.db import connections, router
from django.http.request import validate_host
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from django_docraptor import advice
from django_docraptor.account_settings import (
    account_problems,
    account_settings,
    fixed_accounts,
    is_blank_key,
    settings_by_account,
)
from django_docraptor.client import Timeouts
from django_docraptor.conf import DOCRAPTOR_URL, Conf, conf, declared_settings
from django_docraptor.models import RenderJob
from django_docraptor.runners import (
    broker_url,
    get_runner,
    is_celery_eager,
    runner_limitations,
)
from django_docraptor.states import MAX_RENDER_SECONDS
from django_docraptor.storage import get_document_storage, is_served

AppConfigs = Sequence[AppConfig] | None
# Hosts that Django allows with DEBUG and without ALLOWED_HOSTS.
LOCAL_HOSTS = [".localhost", "127.0.0.1", "[::1]"]
# Environment variables of a pytest run; the first since pytest 8.2, the other during a test.
PYTEST_VARIABLES = ("PYTEST_VERSION", "PYTEST_CURRENT_TEST")
# Where the documentation and the hints read the key from.
KEY_VARIABLE = "DOCRAPTOR_API_KEY"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"django_docraptor.E{number:03}")


def _error_outside_tests(number: int, message: str, hint: str) -> CheckMessage:
    """Return an error, or in a test run a warning, which does not end it.

    Nothing is called there, and DEBUG is off although these are not the settings of production.
    """
    kind = Warning if _is_test_run() else Error
    return kind(message, hint=hint, id=f"django_docraptor.E{number:03}")


def _is_test_run() -> bool:
    """Return whether the process is ``manage.py test``, or pytest, or was started by its tests."""
    return sys.argv[1:2] == ["test"] or any(name in os.environ for name in PYTEST_VARIABLES)


def _warning(number: int, message: str, hint: str) -> Warning:
    return Warning(message, hint=hint, id=f"django_docraptor.W{number:03}")


@register
def check_settings(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Check the keys, types and values of the ``DOCRAPTOR`` setting."""
    # Not in a variable: a traceback of an error in a check would show the API key.
    if not isinstance(getattr(settings, "DOCRAPTOR", None), Mapping | None):
        return [_error(1, "DOCRAPTOR must be a dict.", 'Set DOCRAPTOR = {"API_KEY": "…"}.')]
    errors = [*_unknown_keys(), *_type_errors()] or [*_account_errors()]
    value_checks = (
        _missing_api_key,
        _callback_urls,
        _option_errors,
        _client,
        _live_mode,
        _insecure_base_url,
        _assets_base_url,
        _create_timeout,
        _proxies,
        _metrics,
    )
    return errors or [message for check in value_checks for message in check()]


def _unknown_keys() -> Iterator[CheckMessage]:
    names = [setting.key for setting in declared_settings()]
    for key in conf.user_settings:
        if key not in names:
            matches = difflib.get_close_matches(str(key).upper(), names, n=1)
            valid = f"Valid settings: {', '.join(names)}."
            hint = f"Did you mean {matches[0]!r}?" if matches else valid
            yield _error(2, f"DOCRAPTOR contains an unknown setting, {key!r}.", hint)


def _type_errors() -> Iterator[CheckMessage]:
    for setting in declared_settings():
        if setting.key in conf.user_settings:
            error = setting.validate(conf.user_settings[setting.key])
            if error:
                hint = f"Remove it to use the default, {setting.default!r}."
                yield _error(3, f"DOCRAPTOR[{setting.key!r}] {error}.", hint)


def _account_errors() -> Iterator[CheckMessage]:
    hint = (
        "Use the keys and values of DOCRAPTOR. What an account does not have of its own is as for "
        "all accounts."
    )
    yield from (_error(30, problem, hint) for problem in account_problems())


def _missing_api_key() -> Iterator[CheckMessage]:
    is_there = "API_KEY" in conf.user_settings
    missing = f"is {'empty' if is_there else 'missing'}."
    if not conf.accounts and is_blank_key(conf.api_key):
        yield _error_outside_tests(4, f"DOCRAPTOR['API_KEY'] {missing}", _api_key_hint())
    for name in fixed_accounts():
        if is_blank_key(account_settings(name).api_key):
            message = f"DOCRAPTOR['ACCOUNTS'][{name!r}] has no API_KEY, and DOCRAPTOR['API_KEY']"
            yield _error_outside_tests(4, f"{message} {missing}", _api_key_hint())


def _api_key_hint() -> str:
    """Return what to do next: the variable, the setting, or which key to use meanwhile."""
    setting = f'DOCRAPTOR = {{"API_KEY": os.environ["{KEY_VARIABLE}"], …}}'
    if os.environ.get(KEY_VARIABLE, "").strip():
        return f"The environment variable {KEY_VARIABLE} is set. Read it in the settings: {setting}"
    return (
        f"The environment variable {KEY_VARIABLE} is not set in this process. Set {KEY_VARIABLE} "
        "to your key of DocRaptor, for the web server and for every worker, and read it in the "
        f"settings: {setting}. The sandbox accepts any text as the key. DocRaptor's public key "
        "YOUR_API_KEY_HERE works for test documents, but everyone shares it: do not send "
        "confidential content with it."
    )


def _fixed_callback_base_urls() -> dict[str, str]:
    """Return the URLs by the setting's name, unless a callable returns another for each tenant."""
    return {
        f"{where}['CALLBACK_BASE_URL']": each.callback_base_url
        for where, each in settings_by_account("CALLBACK_BASE_URL").items()
        if not callable(each.user_settings.get("CALLBACK_BASE_URL"))
    }


def _callback_urls() -> Iterator[CheckMessage]:
    for where, base in _fixed_callback_base_urls().items():
        yield from _callback_url(where, base)
        yield from _refused_callbacks(where, base)


def _callback_url(where: str, base: str) -> Iterator[CheckMessage]:
    if base and not base.startswith("https://") and not settings.DEBUG:
        yield _error_outside_tests(
            5,
            f"{where} must be an https URL, not {base!r}.",
            "Set it to this site's public https URL, or remove it to poll for results instead.",
        )


def _refused_callbacks(where: str, base: str) -> Iterator[CheckMessage]:
    """A callback that this site redirects or refuses is lost, without a message anywhere."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    if not host:
        return
    is_http, has_www = parts.scheme == "http", host.startswith("www.")
    problems = {
        "SECURE_SSL_REDIRECT redirects http": settings.SECURE_SSL_REDIRECT and is_http,
        "PREPEND_WWW redirects a host without www.": settings.PREPEND_WWW and not has_www,
        "ALLOWED_HOSTS does not contain its host": not _is_allowed(host),
    }
    for reason in (reason for reason, is_true in problems.items() if is_true):
        yield _warning(
            10,
            f"{where} is {base!r}, whose callbacks this site does not accept: {reason}.",
            "Use the URL at which this site answers without a redirect, and add its host to "
            "ALLOWED_HOSTS. Until then, results are only polled.",
        )


def _is_allowed(host: str) -> bool:
    allowed = settings.ALLOWED_HOSTS or (LOCAL_HOSTS if settings.DEBUG else [])
    return validate_host(f"[{host}]" if ":" in host else host, allowed)


def _option_errors() -> Iterator[CheckMessage]:
    for where, each in settings_by_account("DEFAULTS").items():
        if each.defaults:  # avoid the import at startup
            yield from _errors_of_defaults(f"{where}['DEFAULTS']", each.defaults)


def _errors_of_defaults(where: str, defaults: Mapping[str, Any]) -> Iterator[CheckMessage]:
    from django_docraptor.job_specs import check_engine_options
    from django_docraptor.payloads import DocumentRequest, unknown_options

    try:
        request = DocumentRequest.from_options(
            name="check", document_type="pdf", content="-", url="", test=True, options=defaults
        )
        check_engine_options(request)
    except (ValidationError, TypeError) as error:
        yield _error(
            6,
            f"{where} contains an invalid option: {error}",
            "Use the option names and values of DocRaptor's API documentation.",
        )
        return
    for name, hint in unknown_options(request):
        yield _warning(
            5,
            f"{where} contains {name}, which this version of django_docraptor does not know.",
            hint,
        )


def _client() -> Iterator[CheckMessage]:
    if conf.client == Conf.client.default:  # importable: avoid the import at startup
        return
    try:
        import_string(conf.client)
    except ImportError as error:
        yield _error(
            7,
            f"DOCRAPTOR['CLIENT'] cannot be imported: {error}",
            f"Remove it, or set it to the dotted path of a class like {Conf.client.default}.",
        )


def _live_mode() -> Iterator[CheckMessage]:
    for where, each in settings_by_account("TEST_MODE").items():
        if not (each.test_mode or conf.is_live_allowed):
            yield _error(
                31,
                f"{where}['TEST_MODE'] is False, but DOCRAPTOR['ALLOW_LIVE'] allows no production "
                f"documents on this host, {socket.gethostname()!r}.",
                "Set TEST_MODE to True here, or allow production documents on this host.",
            )


def _insecure_base_url() -> Iterator[CheckMessage]:
    for where, each in settings_by_account("BASE_URL").items():
        url = each.base_url
        is_local = urlsplit(url).hostname in LOOPBACK
        if url.startswith("http://") and not is_local and not settings.DEBUG:
            yield _warning(
                1,
                f"{where}['BASE_URL'] is {url!r}: the API key and the documents are sent "
                "unencrypted.",
                f"Use an https URL, or remove the setting to use {DOCRAPTOR_URL}.",
            )


def _assets_base_url() -> Iterator[CheckMessage]:
    is_full = str(settings.STATIC_URL or "").startswith(("https://", "http://"))
    if conf.assets == "absolute" and not conf.assets_base_url and not is_full:
        yield _error(
            20,
            "DOCRAPTOR['ASSETS'] = \"absolute\" requires DOCRAPTOR['ASSETS_BASE_URL'].",
            "Set it to this site's public URL, such as https://shop.example, or set ASSETS to "
            '"inline".',
        )


def _create_timeout() -> Iterator[CheckMessage]:
    """A killed worker's job waits for as long as a create call may take."""
    timeouts = Timeouts(**conf.timeout)
    seconds, limit = timeouts.connect + timeouts.total, max(conf.deadline, MAX_RENDER_SECONDS)
    if seconds > limit:
        yield _error(
            25,
            f"DOCRAPTOR['TIMEOUT'] lets a create call take {seconds:g} seconds (connect + total), "
            f"and a killed worker's job wait for as long: more than the {limit:g} of a render.",
            f"Set 'total' to at most {limit - timeouts.connect:g}, or raise DOCRAPTOR['DEADLINE'].",
        )


def _proxies() -> Iterator[CheckMessage]:
    if not conf.proxies:  # avoid the import at startup
        return
    from django_docraptor.client.transport import proxy_problem

    urls = {each.base_url for each in settings_by_account("BASE_URL").values()}
    problems = {proxy_problem(url, conf.proxies) for url in urls}
    for problem in sorted(filter(None, problems)):
        text, _, hint = problem.partition(". ")
        yield _error(26, f"{text}.", hint)


@register
def check_urls(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Check that the URLs for callbacks and downloads are included."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    try:
        reverse("django_docraptor:callback", args=["token"])
    except (NoReverseMatch, ImproperlyConfigured):
        hint = 'Add path("docraptor/", include("django_docraptor.urls")) to the root URLconf.'
        return [_error(8, "The URLconf does not include django_docraptor.urls.", hint)]
    return []


@register
def check_runner(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Check that the runner can be loaded and wakes workers.

    ``RUNNER = "none"`` is a choice; without any runner, it is worth a warning.
    """
    if conf.runner == "none":
        return []
    try:
        name, limitations = runner_limitations()
    except Exception as error:  # noqa: BLE001 - a project's own class may raise anything
        return [
            _error(
                23,
                f"DOCRAPTOR['RUNNER'] is {conf.runner!r}, which cannot be loaded: {error}",
                "Install its library, such as django-docraptor[celery], fix the dotted path, or "
                "remove the setting to use the first runner that has a queue.",
            )
        ]
    messages = [_limitation(name, text) for text in limitations]
    return [*messages, *_redis_timeout()] if name == "celery" else messages


@register
def check_eager_tasks(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Check that a site in production does not run Celery's tasks in the process that enqueues."""
    is_celery = conf.runner in (None, "celery")
    if settings.DEBUG or not is_celery or not is_celery_eager():
        return []
    return [
        _warning(
            9,
            "CELERY_TASK_ALWAYS_EAGER is set: a job is submitted in the process that enqueues it, "
            "and no process asks for it again. It stays QUEUED until a tick runs.",
            "In production, remove it and run workers with a broker. In tests, use "
            "captureOnCommitCallbacks(execute=True) and then docraptor_tick, or set "
            "DOCRAPTOR['RUNNER'] = \"none\".",
        )
    ]


def _metrics() -> Iterator[CheckMessage]:
    if not conf.metrics:  # avoid the import at startup
        return
    from django_docraptor.metrics import receiver_problem

    for path in conf.metrics:
        if problem := receiver_problem(path):
            yield _error(
                27,
                f"DOCRAPTOR['METRICS'] contains {path!r}, which receives nothing: {problem}",
                "Install the extra of that name, such as django-docraptor[prometheus], or correct "
                "the dotted path of a module with a function receive(event).",
            )


@register
def check_soft_time_limit(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Check that Celery does not interrupt the steps."""
    if "celery" not in sys.modules or conf.runner not in (None, "celery"):
        return []
    limit = import_module("celery").current_app.conf.task_soft_time_limit
    if not limit:
        return []
    return [
        _warning(
            11,
            f"CELERY_TASK_SOFT_TIME_LIMIT = {limit:g} interrupts the engine's steps: what is "
            "interrupted waits until its lease ends, and is then done again.",
            "Remove it, and set soft_time_limit on your own tasks: every call of the engine has a "
            "timeout already.",
        )
    ]


@register(deploy=True)
def check_runner_in_force(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Name the runner in force, once it is loaded: ``check --deploy`` may take the time."""
    try:
        runner = get_runner()
    except Exception:  # noqa: BLE001 - E023 reports it
        return []
    lacks = " ".join(runner.limitations()) or "It lacks nothing."
    message = f"The runner in force is {runner.name!r}. {lacks}"
    return [Info(message, id="django_docraptor.I001")]


def _limitation(runner: str, text: str) -> CheckMessage:
    return _warning(
        2,
        f"The runner is {runner!r}. {text}",
        advice.CHOOSE_RUNNER,
    )


def _redis_timeout() -> Iterator[CheckMessage]:
    """Without a socket timeout, publishing may block forever."""
    from celery import current_app

    options = current_app.conf.broker_transport_options or {}
    is_redis = broker_url(current_app).startswith(("redis", "sentinel"))
    if is_redis and not options.get("socket_timeout"):
        yield _warning(
            3,
            "The Redis broker has no socket timeout: if it stops responding, web requests block "
            "forever.",
            'Set CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, '
            '"socket_connect_timeout": 5}.',
        )


@register
def check_time_zones(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Check that USE_TZ is on."""
    if settings.USE_TZ:
        return []
    message = "USE_TZ = False is not supported: jobs would never become due."
    return [_error(22, message, "Set USE_TZ = True.")]


@register
def check_sqlite(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Check SQLite's transaction mode: deferred transactions fail when two processes write."""
    connection = connections[router.db_for_write(RenderJob)]
    mode = str(connection.settings_dict.get("OPTIONS", {}).get("transaction_mode", "")).upper()
    if connection.vendor != "sqlite" or mode == "IMMEDIATE":
        return []
    return [
        _warning(
            4,
            'Without transaction_mode "IMMEDIATE", SQLite raises “database is locked” when two '
            "processes write.",
            'In DATABASES, set "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, '
            '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}.',
        )
    ]


@register
def check_storage(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Check that documents are stored in a place that was chosen, and that is not served."""
    try:
        return list(_storage_warnings())
    except Exception:  # noqa: BLE001 - a misconfigured storage raises its own error on use
        return []


def _storage_warnings() -> Iterator[CheckMessage]:
    hint = (
        'Add the alias "docraptor" to STORAGES, with a private bucket or a directory that no web '
        "server serves. See the README."
    )
    storage = get_document_storage()
    if not isinstance(storage, FileSystemStorage):
        return
    if not storage.base_location:
        yield _warning(
            13,
            "Documents are stored in whichever directory a worker was started in: STORAGES has "
            'no alias "docraptor", and MEDIA_ROOT is empty.',
            hint,
        )
    elif is_served(storage):
        yield _warning(
            6,
            "Documents are stored under MEDIA_ROOT: anyone who knows a file's name, or derives it "
            "from a job's ID, can read it without logging in.",
            hint,
        )


@register
def check_spool(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Check that a document of the maximum size fits into the spool directory."""
    if any(_type_errors()):
        return []
    path, size = conf.spool_path.absolute(), conf.max_document_bytes
    # It may not have been created yet.
    existing = next(part for part in (path, *path.parents) if part.exists())
    try:
        total = shutil.disk_usage(existing).total
    except OSError:
        return []
    if total >= size:
        return []
    return [
        _warning(
            7,
            f"The spool directory is on a file system of {total:,} bytes, but MAX_DOCUMENT_BYTES "
            f"allows documents of {size:,}.",
            "Set DOCRAPTOR['SPOOL_DIR'] to a directory on a larger disk, or lower "
            "DOCRAPTOR['MAX_DOCUMENT_BYTES'].",
        )
    ]
