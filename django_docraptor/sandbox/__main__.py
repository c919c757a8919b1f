"""The command line: `python -m django_docraptor.sandbox`."""

import argparse
import errno
import logging
import signal
import socket
import sys
from queue import SimpleQueue

try:
    from django_docraptor.sandbox.local import Sandbox
    from django_docraptor.sandbox.pdf import load_weasyprint
except ModuleNotFoundError as missing:
    sys.stderr.write(f"{missing.name} is missing: pip install 'django-docraptor[sandbox]'\n")
    sys.exit(2)

PANGO = "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"

MOST_PORT = 65_535
# A day.
MOST_SECONDS = 86_400


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    arguments = _arguments()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("django_docraptor.sandbox").setLevel(logging.INFO)
    # Not an Event: a handler that sets the Event on which its own thread is about to wait
    # can deadlock. SimpleQueue.put is made for signal handlers.
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.put(number))
    problem = _renderer_problem(arguments.renderer)
    if problem:
        return _fail(problem)
    sandbox = Sandbox(**vars(arguments))
    try:
        sandbox.start()
    except (OSError, UnicodeError) as error:
        where, why = f"{arguments.host}:{arguments.port}", getattr(error, "strerror", error)
        return _fail(f"cannot listen on {where} ({why}): choose another {_culprit(error)}")
    sys.stdout.write(f"listening on {sandbox.url}\n")
    sys.stdout.flush()
    signals.get()
    sandbox.stop()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m django_docraptor.sandbox",
        description="A local server that speaks DocRaptor's protocol.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=8001, help="0 for any free port")
    parser.add_argument("--delay", type=_seconds, default=0.0, help="seconds a document takes")
    parser.add_argument("--api-key", help="the only good key; without it any key is good")
    parser.add_argument("--renderer", choices=["weasyprint", "canned"], default="weasyprint")
    parser.add_argument("--max-concurrent", type=_count, default=30, help="documents at once")
    parser.add_argument(
        "--allow-callbacks-to",
        dest="callback_hosts",
        metavar="HOST",
        action="extend",
        nargs="+",
        default=[],
        help="hosts that may be called back, besides this machine",
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= MOST_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 0 to {MOST_PORT}")
    return int(text)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number, 0 to {MOST_SECONDS}")
    return seconds


def _culprit(error: Exception) -> str:
    """The option to change after a failure to listen."""
    unknown = isinstance(error, (socket.gaierror, UnicodeError))
    foreign = getattr(error, "errno", None) == errno.EADDRNOTAVAIL
    return "--host" if unknown or foreign else "--port"


def _renderer_problem(renderer: str) -> str:
    if renderer != "weasyprint":
        return ""
    try:
        load_weasyprint()
    except ImportError:
        return "WeasyPrint is missing: pip install 'django-docraptor[sandbox]'"
    except OSError:
        return f"Pango is missing: {PANGO}, or use --renderer canned"
    return ""


def _fail(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
