"""The same story with each runner: documents complete, once each, whatever wakes the workers."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.runners import NAMES, SiteRunner, site_runner
from tests.e2e.site import Site
from tests.support.processes import wait_until

pytestmark = pytest.mark.services("redis", "postgresql")

StartRunner = Callable[..., tuple[Site, SiteRunner]]
# Each runner is woken by callbacks. All are killed, too, but at each change only those that differ
# most: a queue, and none. With Celery, tests/e2e/test_services.py shows at each change, with two
# workers and a hundred documents, what the first two tests show with fewer.
WEEKLY = [pytest.mark.weekly]


def with_runners(*daily: str, weekly: Iterable[str]) -> pytest.MarkDecorator:
    """Run a test with some runners at each change, and with others each week."""
    names = [*daily, *(pytest.param(name, marks=WEEKLY) for name in weekly)]
    return pytest.mark.parametrize("start_runner", names, indirect=True)


@pytest.fixture(params=NAMES)
def start_runner(request: pytest.FixtureRequest, start_site) -> Iterator[StartRunner]:
    """Return a function that starts a site with the runner's settings, and no worker yet."""
    with ExitStack() as stack:
        runner = stack.enter_context(site_runner(request.param))

        def start(*, scale_time: bool = False, **engine: object) -> tuple[Site, SiteRunner]:
            site = start_site(
                "postgresql",
                runner.broker,
                environment=runner.environment | {"SITE_SCALE_TIME": str(int(scale_time))},
                **{**runner.engine, **engine},
            )
            runner.prepare(site)
            return site, runner

        yield start


@with_runners(*(name for name in NAMES if name != "celery"), weekly=["celery"])
@pytest.mark.fault("W1")
def test_documents_complete_with_callbacks(start_runner: StartRunner) -> None:
    """A callback, not a poll, tells that each of 40 documents is rendered."""
    site, runner = start_runner(POLL={"floor": 20, "ceiling": 60})
    site.start_web_server()
    runner.start(site)
    jobs = site.enqueue(40)
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    assert site.control.ledger.callback_calls == 40


@with_runners("none", weekly=["celery", "django-tasks-db", "django-tasks-rq"])
@pytest.mark.fault("W8")
def test_documents_complete_by_polling(start_runner: StartRunner) -> None:
    """Without callbacks, lone documents on an idle site, then 40 at once, are rendered once."""
    site, runner = start_runner()
    runner.start(site)
    jobs: dict[str, str] = {}
    for count, seconds in ((1, 60), (1, 60), (40, 180)):
        jobs |= site.enqueue(count)
        site.wait_for_all(seconds)
    site.assert_consistent(jobs)


def wait_for_creates(site: Site, count: int) -> None:
    """Wait until DocRaptor has received so many create calls."""
    wait_until("create calls", lambda: site.control.ledger.create_calls >= count, 60)


@with_runners("celery", "none", weekly=[name for name in NAMES if name not in ("celery", "none")])
@pytest.mark.fault("P7")
def test_killed_workers_are_replaced(start_runner: StartRunner) -> None:
    """A worker that is killed three times with documents in progress renders none twice."""
    # A create call that died with its worker was perhaps never received: it may be sent again.
    site, runner = start_runner(scale_time=True, UNCONFIRMED="resubmit")
    worker = runner.start(site)
    jobs = site.enqueue(40)
    for count in (5, 15, 25):
        wait_for_creates(site, count)
        worker.kill_all()
        worker = runner.start(site)
    runner.start_tick(site)
    site.wait_for_all(180)
    site.assert_consistent(jobs, has_killed=True)
