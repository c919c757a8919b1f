"""A site of django-tenants: each tenant's documents, callbacks and files are its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pypdf import PdfReader

from django_docraptor.sandbox.remote import RemoteSandbox
from tests.e2e.tenants import HOSTS
from tests.support.brokers import scratch_broker
from tests.support.databases import scratch_database
from tests.support.processes import ManagedProcess, free_port, python_module, wait_until

pytestmark = [pytest.mark.services("postgresql", "redis"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
JOBS = "django_docraptor_renderjob"
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.e2e.tenants.settings", "PYTHONUNBUFFERED": "1"}
# Far apart: only a callback can be in time.
RARE_POLLS = {"floor": 120, "ceiling": 120}


class TenantSite:
    """The site's processes, database and files."""

    def __init__(self, database: Any, broker: Any, folder: Any) -> None:
        self.database, self.folder, self.port = database, folder, free_port()
        self.processes: list[ManagedProcess] = []
        sandbox = ["django_docraptor.sandbox", "--port", "0", "--delay", "0.5"]
        self.environment = dict(database.environment)
        url = self.start("sandbox", *sandbox).wait_for_output("listening on").split()[-1]
        self.sandbox = RemoteSandbox(url)
        engine = {"BASE_URL": url, "POLL": RARE_POLLS}
        self.environment |= broker.environment | SETTINGS
        self.environment |= {"SITE_DOCRAPTOR": json.dumps(engine), "SITE_PORT": str(self.port)}
        self.queue = broker.queue
        self.run("django", "migrate_schemas", "--shared", "-v", "0")

    def start(self, name: str, *module: str) -> ManagedProcess:
        """Start a process."""
        process = ManagedProcess(name, python_module(*module), self.environment, self.folder)
        process.start()
        self.processes.append(process)
        return process

    def run(self, *module: str, **environment: str) -> str:
        """Run a process to its end; return its output."""
        done = subprocess.run(
            [sys.executable, "-m", *module],
            env=os.environ | self.environment | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout + done.stderr

    def enqueue(self, number: int, *, runner: str) -> None:
        """Ask for a document of each tenant."""
        engine = json.loads(self.environment["SITE_DOCRAPTOR"]) | {"RUNNER": runner}
        self.run("tests.e2e.tenants.enqueue", str(number), SITE_DOCRAPTOR=json.dumps(engine))

    def start_worker(self, *options: str) -> None:
        """Start a Celery worker, and wait until it is ready."""
        name = f"worker{len(self.processes)}"
        worker = ["celery", "-A", "tests.e2e.tenants.celery", "worker", "-c", "2", "-l", "INFO"]
        host = f"{name}@{self.queue}"
        self.start(name, *worker, "-Q", self.queue, "-n", host, *options).wait_for_output(
            " ready.", 60
        )

    def start_web_server(self) -> None:
        """Start the web server, to which callbacks are sent."""
        web = self.start("web", "tests.e2e.tenants.web_server", str(self.port))
        web.wait_for_output("listening")

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        """Return the jobs of all tenants, each with its schema first."""
        selects = [f"SELECT '{name}', {columns} FROM {name}.{JOBS}" for name in HOSTS]
        return self.database.query(" UNION ALL ".join(selects) + " ORDER BY 1, 2")

    def wait_for_all(self, number: int) -> None:
        """Wait until each tenant has so many completed jobs."""

        def is_done() -> bool:
            states = [state for _schema, state in self.rows("state")]
            return states == ["completed"] * number * len(HOSTS)

        wait_until("every job is completed", is_done, 60, 0.25)

    def assert_documents(self, number: int) -> None:
        """Assert that each tenant has its documents, and that each was made once."""
        files = [(self.folder / "documents" / schema, name) for schema, name in self.rows("file")]
        texts = [PdfReader(path / name).pages[0].extract_text() for path, name in files]
        found = [re.findall(r"(?:anna|bert)-\d", text)[0] for text in texts]
        assert sorted(found) == sorted(f"{name}-{n}" for name in HOSTS for n in range(number))
        assert [text.partition("-")[0] for text in found] == [path.name for path, _ in files]
        assert self.sandbox.ledger.create_calls == number * len(HOSTS)


@pytest.fixture
def site(tmp_path: Any) -> Iterator[TenantSite]:
    """A site with a sandbox."""
    with (
        scratch_database("postgresql", tmp_path) as database,
        scratch_broker("redis", tmp_path) as broker,
    ):
        made = TenantSite(database, broker, tmp_path)
        try:
            yield made
        finally:
            for process in made.processes:
                process.kill_all()


def test_celery_works_for_each_tenant(site: TenantSite) -> None:
    """Messages, wake-ups, callbacks, beat and the admin stay in the tenant's schema."""
    site.start_web_server()
    site.start_worker()
    site.enqueue(0, runner="celery")  # by messages
    site.wait_for_all(1)
    assert all(at for _schema, at in site.rows("callback_at"))
    site.start_worker("-B", "-s", str(site.folder / "beat"))
    site.enqueue(1, runner="none")  # by ticks of beat
    site.wait_for_all(2)
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
    engine = json.loads(site.environment["SITE_DOCRAPTOR"])
    engine |= {"RUNNER": "none", "POLL": {"floor": 0.1, "ceiling": 0.1}}
    site.environment["SITE_DOCRAPTOR"] = json.dumps(engine)


def test_tick_works_for_each_tenant(site: TenantSite) -> None:
    """``all_tenants_command`` runs a round for each tenant, and skips the public schema."""
    poll_often(site)
    site.enqueue(0, runner="none")
    for _round in range(20):
        output = site.run("django", "all_tenants_command", "docraptor_tick")
        assert "Skipped: The tables of django_docraptor are missing or old in the schema" in output
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
    site.environment["SITE_APPS"] = json.dumps(["loops"])
    site.environment["PYTHONPATH"] = os.pathsep.join([str(site.folder), str(ROOT)])
    poll_often(site)
    site.start("loop", "django", "tick_tenants")
    for number in range(2):
        site.enqueue(number, runner="none")
        site.wait_for_all(number + 1)
    site.assert_documents(2)
