"""How long a user's test takes: pytest -s tests/testing/test_speed.py prints it."""

import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_docraptor.testing import InMemoryDocRaptor
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

# Each takes about half a millisecond, most of it to build the SQL. About 65, or 80 where another
# test's module has a receiver of document_completed: sending the signal takes a round of its own.
MAX_QUERIES = 90


def run_test(number: int) -> None:
    """Do what a user's test does: create an invoice, and assert what its PDF shows."""
    with InMemoryDocRaptor() as docraptor:
        invoice = Invoice.objects.create(number=f"A-{number}", total=45)
        InvoicePDF.enqueue(invoice)
        docraptor.render()
        docraptor.assert_rendered(InvoicePDF, source=invoice, contains="45.00")


@pytest.mark.django_db
def test_a_test_takes_few_queries() -> None:
    """The time is printed, because it depends on the machine."""
    times = []
    for number in range(10):
        wall, cpu = time.perf_counter(), time.process_time()
        run_test(number)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    with CaptureQueriesContext(connection) as queries:
        run_test(10)
    cpu, wall = min(times)
    print(
        f"one test: {len(queries)} queries, {1000 * cpu:.0f} ms of CPU time, {1000 * wall:.0f} ms"
    )
    assert len(queries) <= MAX_QUERIES
