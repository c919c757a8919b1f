"""Internal. Keep the log of ``runserver`` readable while a page asks once a second for changes."""

import logging
import re
from typing import Final

_POLL: Final = re.compile(r"GET [^\s?]*/previews/[^/\s]+/state/(?:\?\S*)? ")


class WithoutPolls(logging.Filter):
    """Leave out requests for changes that have found none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record of ``runserver``: request line, status and size."""
        if not isinstance(record.args, tuple) or len(record.args) < 2:
            return True
        request_line, status = record.args[:2]
        return not (str(status) == "304" and _POLL.match(str(request_line)))


def hide_polls() -> None:
    """Install the filter, once for the process."""
    server = logging.getLogger("django.server")
    if not any(isinstance(each, WithoutPolls) for each in server.filters):
        server.addFilter(WithoutPolls())
