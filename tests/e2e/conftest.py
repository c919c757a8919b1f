"""Complete sites for tests; a failure shows the tail of each log."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.site import Site, reset, run
from tests.support.brokers import scratch_broker
from tests.support.browser import chromium
from tests.support.databases import Database, scratch_database

SITES = pytest.StashKey[list[Site]]()
MakeDatabase = Callable[[str], Database]
StartSite = Callable[..., Site]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the site's logs to the report of a failed test."""
    report: Any = yield
    if report.failed:
        for site in item.stash.get(SITES, []):
            report.sections += list(site.logs().items())
    return report


@pytest.fixture(scope="session")
def make_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeDatabase]:
    """Return a function that gives a migrated and empty database of a kind."""
    made: dict[str, Database] = {}
    with ExitStack() as stack:

        def make(kind: str) -> Database:
            if kind not in made:
                scratch = tmp_path_factory.mktemp(kind)
                database = stack.enter_context(scratch_database(kind, scratch))
                command = ["django", "migrate", "-v", "0"]
                run(*command, environment=database.environment, seconds=120)
                made[kind] = database
            reset(made[kind])
            return made[kind]

        yield make


@pytest.fixture
def start_site(
    request: pytest.FixtureRequest, tmp_path: Path, make_database: MakeDatabase
) -> Iterator[StartSite]:
    """Return a function that starts a site.

    It takes the kinds of database and broker, then `Site`'s arguments.
    """
    sites = request.node.stash.setdefault(SITES, [])
    with ExitStack() as stack:

        def start(database: str, broker: str, **options: Any) -> Site:
            folder = tmp_path / f"site{len(sites)}"
            folder.mkdir()
            namespace = stack.enter_context(scratch_broker(broker, folder))
            site = Site(make_database(database), namespace, folder, **options)
            sites.append(site)
            return stack.enter_context(site)

        yield start


@pytest.fixture(scope="module")
def _module_browser() -> Iterator[Browser]:
    """Chromium, once for a file; Playwright's event loop must not trigger Django's async guard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        with chromium() as browser:
            yield browser


@pytest.fixture
def browser(_module_browser: Browser) -> Iterator[Browser]:
    """Chromium; what a test has opened there ends with it."""
    yield _module_browser
    for context in _module_browser.contexts:
        context.close()
