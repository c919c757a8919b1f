"""The web server of the benchmark site: ``python -m benchmarks.cost.web_server PORT``."""

import sys

from django.core.wsgi import get_wsgi_application
from werkzeug.serving import WSGIRequestHandler, make_server

import benchmarks.cost.celery  # noqa: F401 - as a project's __init__ does


class _QuietHandler(WSGIRequestHandler):
    """A request handler that logs no requests."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


def main(port: int) -> None:
    """Serve until killed."""
    # One thread keeps one database connection; a thread per request would open its own.
    server = make_server("127.0.0.1", port, get_wsgi_application(), request_handler=_QuietHandler)
    sys.stdout.write(f"listening on {server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
