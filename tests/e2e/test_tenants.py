"""A site of django-tenants: each tenant's documents, callbacks and files are its own."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pypdf import PdfReader

from tests.e2e.site import Site, run
from tests.e2e.tenants import HOSTS
from tests.support.brokers import Broker, scratch_broker
from tests.support.databases import Database, scratch_database
from tests.support.processes import free_port, wait_until

pytestmark = [pytest.mark.services("postgresql", "redis"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
JOBS = "django_docraptor_renderjob"
# Far apart: only a callback can be in time.
RARE_POLLS = {"floor": 120, "ceiling": 120}


class TenantSite(Site):
    """A site whose port is known before it is started, since each tenant has a host of its own."""

    celery_app = "tests.e2e.tenants.celery"

    def __init__(self, database: Database, broker: Broker, folder: Path) -> None:
        self.port = free_port()
        super().__init__(
            database,
            broker,
            folder,
            delay=0.5,
            renderer="weasyprint",
            environment={
                "DJANGO_SETTINGS_MODULE": "tests.e2e.tenants.settings",
                "SITE_PORT": str(self.port),
            },
            POLL=RARE_POLLS,
        )

    def enqueue_for_each(self, number: int, *, runner: str) -> None:
        """Ask for a document of each tenant."""
        engine = {"SITE_DOCRAPTOR": json.dumps(self.engine | {"RUNNER": runner})}
        command = ("tests.e2e.tenants.enqueue", str(number))
        run(*command, environment=self.environment | engine, seconds=120)

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        """Return the jobs of all tenants, each with its schema first."""
        selects = [f"SELECT '{name}', {columns} FROM {name}.{JOBS}" for name in HOSTS]
        return self.database.query(" UNION ALL ".join(selects) + " ORDER BY 1, 2")

    def wait_for_each(self, number: int) -> None:
        """Wait until each tenant has so many completed jobs."""

        def is_done() -> bool:
            states = [state for _schema, state in self.rows("state")]
            return states == ["completed"] * number * len(HOSTS)

        # Less than a minute: then the engine looks again, whatever message was lost.
        wait_until("every job is completed", is_done, 45, 0.25)

    def assert_documents(self, number: int) -> None:
        """Assert that each tenant has its documents, and that each was made once."""
        files = [(self.folder / "documents" / schema, name) for schema, name in self.rows("file")]
        texts = [PdfReader(path / name).pages[0].extract_text() for path, name in files]
        found = [re.findall(r"(?:anna|bert)-\d", text)[0] for text in texts]
        assert sorted(found) == sorted(f"{name}-{n}" for name in HOSTS for n in range(number))
        assert [text.partition("-")[0] for text in found] == [path.name for path, _ in files]
        assert self.control.ledger.create_calls == number * len(HOSTS)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TenantSite]:
    """A site with a sandbox."""
    with (
        scratch_database("postgresql", tmp_path) as database,
        scratch_broker("redis", tmp_path) as broker,
        TenantSite(database, broker, tmp_path) as made,
    ):
        made.run("django", "migrate_schemas", "--shared", "-v", "0", seconds=120)
        yield made


def test_celery_works_for_each_tenant(site: TenantSite) -> None:
    """Messages, wake-ups, callbacks, beat and the admin stay in the tenant's schema."""
    web = site.start("web", "tests.e2e.tenants.web_server", str(site.port))
    web.wait_for_output("listening")
    site.start_workers()
    site.enqueue_for_each(0, runner="celery")  # by messages
    site.wait_for_each(1)
    assert all(at for _schema, at in site.rows("callback_at"))
    site.start_workers(beat=True)
    site.enqueue_for_each(1, runner="none")  # by ticks of beat
    site.wait_for_each(2)
    site.assert_documents(2)
    for schema, host in HOSTS.items():
        session = requests.Session()
        url = f"http://{host}:{site.port}/admin/"
        session.get(f"{url}login/", timeout=10)
        form = {"username": schema, "password": schema, "next": "/admin/"}
        form["csrfmiddlewaretoken"] = session.cookies["csrftoken"]
        session.post(f"{url}login/", form, timeout=10)
        page = session.get(f"{url}django_docraptor/renderjob/", timeout=10).text
        assert set(re.findall(r"invoice-(anna|bert)-\d", page)) == {schema}


def poll_often(site: TenantSite) -> None:
    """Without a web server, no callback arrives."""
    site.engine |= {"RUNNER": "none", "POLL": {"floor": 0.1, "ceiling": 0.1}}


def test_tick_works_for_each_tenant(site: TenantSite) -> None:
    """``all_tenants_command`` runs a round for each tenant, and skips the public schema."""
    poll_often(site)
    site.enqueue_for_each(0, runner="none")
    for number in range(20):
        tick = site.start(f"tick{number}", "django", "all_tenants_command", "docraptor_tick")
        assert tick.popen.wait(120) == 0, tick.tail
        skipped = "Skipped: The tables of django_docraptor are missing or old in the schema"
        assert skipped in tick.output
        if {state for _schema, state in site.rows("state")} == {"completed"}:
            break
    site.assert_documents(1)


def test_documented_loop_works_for_each_tenant(site: TenantSite) -> None:
    """The command of the how-to page finishes the documents of every tenant, and goes on."""
    name = "shop/management/commands/tick_tenants.py"
    page = (ROOT / "docs/how-to/databases.md").read_text()
    code = page.partition(f"```python\n# {name}\n")[2].partition("```")[0]
    path = site.folder / name.replace("shop", "loops", 1)
    path.parent.mkdir(parents=True)
    path.write_text(code)
    site.variables["SITE_APPS"] = json.dumps(["loops"])
    site.variables["PYTHONPATH"] = os.pathsep.join([str(site.folder), str(ROOT)])
    poll_often(site)
    site.start("loop", "django", "tick_tenants")
    for number in range(2):
        site.enqueue_for_each(number, runner="none")
        site.wait_for_each(number + 1)
    site.assert_documents(2)
