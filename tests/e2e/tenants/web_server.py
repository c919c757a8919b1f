"""A web server at every local address: ``python -m tests.e2e.tenants.web_server PORT``."""

import sys

from django.core.wsgi import get_wsgi_application
from werkzeug.serving import make_server

import tests.e2e.tenants.celery  # noqa: F401 - as a project's __init__ does

if __name__ == "__main__":
    server = make_server("0.0.0.0", int(sys.argv[1]), get_wsgi_application(), threaded=True)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    server.serve_forever()
