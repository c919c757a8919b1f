"""Detect running services."""

import os
import shutil
import socket
from functools import cache
from importlib.util import find_spec

PORTS = {"postgresql": 5432, "mariadb": 3306, "redis": 6379, "rabbitmq": 5672}
COMMANDS = {
    "poppler": ("pdftotext", "poppler-utils"),
    "chromium": ("chromium", "chromium"),
    "node": ("node", "nodejs"),
    "gettext": ("xgettext", "gettext"),
}
# Python packages of the dependency group "lint".
PACKAGES = ("mypy", "pyright")
# The C driver of MariaDB and MySQL: its package needs a compiler.
DRIVER = "MySQLdb"


@cache
def service_problem(name: str) -> str:
    """Return what is missing and how to install it, or an empty string."""
    if name in COMMANDS:
        command, package = COMMANDS[name]
        return "" if shutil.which(command) else f"{command} is missing: apt-get install {package}"
    if name == "mysqlclient":
        advice = "apt-get install gcc pkg-config libmariadb-dev; pip install --group mysqlclient"
        return "" if find_spec(DRIVER) else f"mysqlclient is missing: {advice}"
    if name in PACKAGES:
        return "" if find_spec(name) else f"{name} is missing: pip install --group lint"
    address = (os.environ.get(f"{name.upper()}_HOST", "127.0.0.1"), PORTS[name])
    try:
        with socket.create_connection(address, timeout=2):
            return ""
    except OSError as error:
        return f"{name} is not running on {address[0]}:{address[1]} ({error})"
