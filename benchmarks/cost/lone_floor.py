"""The least CPU of a lone document's steps: its calls and its statements, and nothing else.

Made with what the package is built on, requests and Django's cursor, at the pace of the documents:
what runs ten times a second finds the processor's caches cold.
"""

import os
import time

import requests
from django.db import connection

from benchmarks.cost import queries
from benchmarks.cost.site import Site
from tests.support.documents import document_html, document_name

DOCUMENTS, WARM_UP = 60, 10
# The steps that run in a worker.
WORKER_STEPS = ("submit", "poll", "dispatch")
TIMEOUT_SECONDS = 10
MAX_POLLS = 20


def least_cpu_ms(site: Site, rate: float) -> tuple[float, int]:
    """Return the CPU of a document in ms, and the statements that it takes.

    Args:
        site: nothing else runs there.
        rate: documents per second.
    """
    statements = _worker_statements(site)
    site.reset(delay=0.0)
    path = site.scratch / "lone.pdf"
    spent = []
    with connection.cursor() as cursor, requests.Session() as session:
        cursor.execute("CREATE TEMPORARY TABLE lone (id int PRIMARY KEY, number int)")
        cursor.execute("INSERT INTO lone VALUES (1, 0)")
        for number in range(WARM_UP + DOCUMENTS):
            started = time.process_time()
            for _ in range(statements):
                cursor.execute("UPDATE lone SET number = %s WHERE id = %s", [number, 1])
            data = _document(session, site.control.url, document_name(number), 1 / rate)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            spent.append(time.process_time() - started)
        cursor.execute("DROP TABLE lone")
    return 1000 * sum(spent[WARM_UP:]) / DOCUMENTS, statements


def _worker_statements(site: Site) -> int:
    """Return the statements, BEGIN and COMMIT of a lone document in a worker."""
    tally = queries.count_steady_queries(site, 1)
    counts = tally.statements + tally.transaction_statements
    return sum(counts[step] for step in WORKER_STEPS)


def _document(session: requests.Session, url: str, name: str, pause: float) -> bytes:
    """Create a document over a connection of its own, and pause; ask for it, and download it."""
    request = {
        "name": name,
        "type": "pdf",
        "document_content": document_html(name),
        "test": True,
        "async": True,
    }
    auth, timeout = ("bench", ""), TIMEOUT_SECONDS
    created = requests.post(f"{url}/docs", json=request, auth=auth, timeout=timeout).json()
    address = f"{url}/status/{created['status_id']}"
    for _ in range(MAX_POLLS):
        time.sleep(pause)  # meanwhile the sandbox renders: the first poll should find the document
        status = session.get(address, auth=auth, timeout=timeout).json()
        if status["status"] == "completed":
            return session.get(status["download_url"], auth=auth, timeout=timeout).content
    raise RuntimeError(f"{name} was not rendered: {status}")
