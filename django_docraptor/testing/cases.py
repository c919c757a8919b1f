"""Internal. The mixin for Django's test cases."""

import unittest

from django_docraptor.testing.outbox import InMemoryDocRaptor


class DocRaptorTestMixin(unittest.TestCase):
    """Gives each test of a ``TestCase`` or ``TransactionTestCase`` its own ``self.docraptor``."""

    docraptor: InMemoryDocRaptor

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test, with its ``setUp`` and ``tearDown``, in memory."""
        with InMemoryDocRaptor() as self.docraptor:
            return super().run(result)
