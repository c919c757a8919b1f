"""DocRaptor in memory, in Django's test cases: with transactions, async code and eager Celery."""

from typing import Any

import pytest
from celery import current_app
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase, override_settings

from django_docraptor import aenqueue
from django_docraptor.states import State
from django_docraptor.testing import DocRaptorTestMixin
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice


class TestCaseTests(DocRaptorTestMixin, TestCase):
    """In the transaction of a test."""

    invoice: Invoice

    @classmethod
    def setUpTestData(cls) -> None:
        """Create what all tests share."""
        cls.invoice = Invoice.objects.create(number="A-1", total=45)
        transaction.on_commit(cls.never)

    @classmethod
    def never(cls) -> None:
        """Fail: as in Django, what all tests share is never committed."""
        raise AssertionError

    def test_invoice_has_its_total(self) -> None:
        """Three lines, without super().setUp()."""
        InvoicePDF.enqueue(self.invoice)
        self.docraptor.render()
        self.docraptor.assert_rendered(InvoicePDF, source=self.invoice, contains="45.00")

    def test_each_test_begins_empty(self) -> None:
        """Nothing is left of another test."""
        self.docraptor.assert_not_rendered()
        assert self.docraptor.render() == []

    def test_captured_commit_hooks(self) -> None:
        """Django's own way of running them and ours do not run one twice."""
        calls: list[int] = []
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: calls.append(1))
            InvoicePDF.enqueue(self.invoice)
        self.docraptor.render()
        self.docraptor.assert_rendered(InvoicePDF, count=1)
        assert calls == [1]

    async def test_async(self) -> None:
        """An async test enqueues, renders and asserts without leaving the event loop."""
        await aenqueue(name="a.pdf", content="<p>Async</p>")
        (job, *_) = await self.docraptor.arender()
        self.docraptor.assert_rendered(contains="Async", count=1)
        assert job.state == State.COMPLETED
        with pytest.raises(AssertionError, match=r"a\.pdf"):
            self.docraptor.assert_rendered(contains="nothing like it")

    async def test_async_source(self) -> None:
        """The source of what was rendered is known without another query."""
        await InvoicePDF.aenqueue(self.invoice)
        self.docraptor.lose_answer()
        await self.docraptor.arender()
        await self.docraptor.aadvance(60)
        await self.docraptor.arender()
        self.docraptor.assert_rendered(InvoicePDF, source=self.invoice, count=1)

    @override_settings(DOCRAPTOR={"RUNNER": "celery"})
    def test_eager_celery(self) -> None:
        """With eager tasks, and a test's own settings, the engine runs in render(), once."""
        before = current_app.conf.task_always_eager
        current_app.conf.task_always_eager = True
        try:
            with self.captureOnCommitCallbacks(execute=True):
                InvoicePDF.enqueue(self.invoice)
            self.docraptor.render()
        finally:
            current_app.conf.task_always_eager = before
        self.docraptor.assert_rendered(InvoicePDF, count=1)
        assert connection.in_atomic_block


class TransactionTestCaseTests(DocRaptorTestMixin, TransactionTestCase):
    """With real commits."""

    def test_invoice_has_its_total(self) -> None:
        """The same three lines."""
        invoice = Invoice.objects.create(number="A-1", total=45)
        with transaction.atomic():
            InvoicePDF.enqueue(invoice)
        self.docraptor.render()
        self.docraptor.assert_rendered(InvoicePDF, source=invoice, contains="45.00")

    def test_rolled_back(self) -> None:
        """A document of a transaction that fails is not rendered."""
        invoice = Invoice.objects.create(number="A-1", total=45)
        with transaction.atomic():
            InvoicePDF.enqueue(invoice)
            transaction.set_rollback(True)
        assert self.docraptor.render() == []
        self.docraptor.assert_not_rendered(InvoicePDF)


class OrderOfBasesTests(TestCase, DocRaptorTestMixin):
    """The mixin after the test case."""

    docraptor: Any

    def test_order_does_not_matter(self) -> None:
        """It has its outbox all the same."""
        self.docraptor.assert_not_rendered()
