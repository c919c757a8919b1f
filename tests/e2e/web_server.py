"""The site's web server: ``python -m tests.e2e.web_server`` prints its URL and ends at SIGTERM."""

import signal
import sys
import threading
from types import FrameType

from django.core.wsgi import get_wsgi_application
from werkzeug.serving import WSGIRequestHandler, make_server

import tests.e2e.celery  # noqa: F401 - as a project's __init__ does


class _Handler(WSGIRequestHandler):
    """HTTP/1.1, and a line a request in the log."""

    protocol_version = "HTTP/1.1"


def main() -> None:
    """Serve until told to stop."""
    server = make_server(
        "127.0.0.1", 0, get_wsgi_application(), threaded=True, request_handler=_Handler
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    sys.stdout.write(f"listening on http://127.0.0.1:{server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
