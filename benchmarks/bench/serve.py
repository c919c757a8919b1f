"""The bench site's web server: ``python -m benchmarks.bench.serve PORT``.

One request at a time in one thread, like a synchronous worker of a production server.
"""

import sys

from django.core.wsgi import get_wsgi_application
from werkzeug.serving import WSGIRequestHandler, make_server

import benchmarks.bench.celery  # noqa: F401 - as a project's __init__ does


class _Quiet(WSGIRequestHandler):
    """No line a request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def main(port: int) -> None:
    """Serve until killed."""
    server = make_server(
        "127.0.0.1", port, get_wsgi_application(), threaded=False, request_handler=_Quiet
    )
    sys.stdout.write(f"listening on {server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
