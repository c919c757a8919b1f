"""The command line: start, stop, and errors that name a remedy."""

import contextlib
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests

from django_docraptor.sandbox import RemoteSandbox
from tests.support.sandbox_client import AUTH

COMMAND = [sys.executable, "-m", "django_docraptor.sandbox", "--port", "0"]


def start(*arguments):
    """Start the command, wait for its first line, and return process and URL."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    assert line.startswith("listening on http://127.0.0.1:"), process.stderr.read()
    return process, line.removeprefix("listening on ").strip()


@contextlib.contextmanager
def killed_at_end(process):
    """Kill the process at the end, so that a failing test does not wait for it."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_starts_and_stops(number):
    """It prints its URL, applies its options, and exits with 0 immediately after a signal."""
    process, url = start("--renderer", "canned", "--api-key", "a-key", "--delay", "30")
    with process, killed_at_end(process):
        data = {"name": "a", "type": "pdf", "document_content": "x"}
        assert requests.post(f"{url}/async_docs", json=data, timeout=5).status_code == 401
        accepted = requests.post(f"{url}/async_docs", json=data, auth=AUTH, timeout=5)
        assert accepted.status_code == 200
        (entry,) = RemoteSandbox(url).ledger.entries
        assert entry.state in ("queued", "working")
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(30) == 0
        assert time.monotonic() - started < 20  # of the delay of 30
        assert "Traceback" not in process.stderr.read()


def test_signals_in_quick_succession_stop_it():
    """Several signals right after the first line do no harm."""
    for _ in range(5):
        process, _ = start("--renderer", "canned")
        with process, killed_at_end(process):
            for _ in range(20):
                process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_port_in_use_names_the_remedy():
    """The error is one line, and the exit status is 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*COMMAND[:-1], port, "--renderer", "canned"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "choose another --port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--port", "99999", "argument --port: '99999' is not an integer between 0 and 65535"),
        ("--port", "-1", "argument --port: '-1' is not an integer"),
        ("--port", "http", "argument --port: 'http' is not an integer"),
        ("--delay", "-1", "argument --delay: '-1' is not a number between 0 and 86400"),
        ("--delay", "nan", "argument --delay: 'nan' is not a number"),
        ("--delay", "1e12", "argument --delay: '1e12' is not a number"),
        ("--delay", "soon", "argument --delay: 'soon' is not a number"),
        ("--max-concurrent", "0", "argument --max-concurrent: '0' is not a positive integer"),
        ("--max-concurrent", "many", "argument --max-concurrent: 'many' is not a positive integer"),
        ("--host", "nonsense.invalid", "choose another --host"),
        ("--host", "192.0.2.1", "choose another --host"),
        ("--host", "n" * 70, "choose another --host"),
    ],
)
def test_invalid_value_names_its_option(option, value, problem):
    """The last line names the option to change, and the exit status is 2."""
    command = [*COMMAND, "--renderer", "canned", option, value]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert problem in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "--port" not in done.stderr.splitlines()[-1] or option == "--port"


WITHOUT = """
import runpy, sys
from importlib import import_module
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise {error}
sys.meta_path.insert(0, Missing())
sys.argv = ["sandbox", "--port", "0"]
runpy.run_module("django_docraptor.sandbox", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "error", "remedy"),
    [
        ("werkzeug", "ModuleNotFoundError('x', name=name)", "pip install 'django-docraptor["),
        ("weasyprint", "ModuleNotFoundError('x', name=name)", "pip install 'django-docraptor["),
        ("weasyprint", "OSError('no pango')", "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-s"),
    ],
)
def test_missing_package_or_library_is_named(module, error, remedy):
    """The error is one line with the remedy, and the exit status is 2."""
    code = WITHOUT.format(module=module, error=error)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert remedy in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_sandbox_imports_neither_django_nor_the_app():
    """The sandbox loads neither Django nor other modules of this package."""
    code = (
        "import sys, django_docraptor.sandbox.__main__\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'django'"
        " or name.startswith('django_docraptor.') and '.sandbox' not in name))"
    )  # the package itself imports its names lazily
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.stdout.strip() == "['django_docraptor.lazy_names']", done.stderr
