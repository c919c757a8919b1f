"""The web server of the chaos site: ``python -m tests.chaos.web_server PORT``."""

import sys

from django.core.wsgi import get_wsgi_application
from werkzeug.serving import make_server

import tests.chaos.celery  # noqa: F401 - as a project's __init__ does


def main(port: int) -> None:
    """Serve until killed."""
    server = make_server("127.0.0.1", port, get_wsgi_application(), threaded=True)
    sys.stdout.write(f"listening on {server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
