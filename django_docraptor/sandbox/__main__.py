"""The command line: `python -m django_docraptor.sandbox`."""

import argparse
import errno
import logging
import signal
import socket
import sys
from queue import Empty, SimpleQueue

try:
    from django_docraptor.sandbox.local import Sandbox
    from django_docraptor.sandbox.pdf import load_weasyprint
except ModuleNotFoundError as missing:
    sys.stderr.write(f"{missing.name} is missing: pip install 'django-docraptor[sandbox]'\n")
    sys.exit(2)

INSTALL_PANGO = "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"

MAX_PORT = 65_535
# One day.
MAX_DELAY_SECONDS = 86_400


def main() -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status."""
    arguments = _parse_arguments()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("django_docraptor.sandbox").setLevel(logging.INFO)
    # Not an Event: setting it in a signal handler while the same thread is about to wait for it
    # can deadlock. SimpleQueue.put is reentrant and safe in signal handlers.
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.put(number))
    problem = _find_renderer_problem(arguments.renderer)
    if problem:
        return _fail(problem)
    sandbox = Sandbox(**vars(arguments))
    try:
        sandbox.start()
    except (OSError, UnicodeError) as error:
        address = f"{arguments.host}:{arguments.port}"
        reason, option = getattr(error, "strerror", error), _option_to_change(error)
        return _fail(f"cannot listen on {address} ({reason}): choose another {option}")
    sys.stdout.write(f"listening on {sandbox.url}\n")
    sys.stdout.flush()
    _wait_for_one(signals)
    sandbox.stop()
    return 0


def _wait_for_one(signals: SimpleQueue[int]) -> None:
    """Wait for a signal, and look again each second: many at once may be missed by one wait."""
    while True:
        try:
            signals.get(timeout=1)
        except Empty:
            continue
        return


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m django_docraptor.sandbox",
        description="A local server that implements DocRaptor's API.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="name or address to listen on")
    add("--port", type=_port, default=8001, help="port to listen on; 0 for any free port")
    add("--delay", type=_seconds, default=0.0, help="seconds that rendering takes")
    add(
        "--api-key",
        default=argparse.SUPPRESS,
        help="the only valid API key (default: accept any key)",
    )
    add(
        "--renderer",
        choices=["weasyprint", "canned"],
        default="weasyprint",
        help="weasyprint renders real PDFs, canned returns tiny ready-made ones",
    )
    add(
        "--max-concurrent",
        type=_count,
        default=30,
        help="maximum number of documents in progress",
    )
    add(
        "--allow-callbacks-to",
        dest="callback_hosts",
        metavar="HOST",
        action="extend",
        nargs="+",
        default=argparse.SUPPRESS,
        help="additional hosts that callbacks may be sent to",
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer between 0 and {MAX_PORT}")
    return int(text)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= MAX_DELAY_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number between 0 and {MAX_DELAY_SECONDS}"
        )
    return seconds


def _option_to_change(error: Exception) -> str:
    """Return the option that the user should change after listening failed."""
    is_unknown = isinstance(error, (socket.gaierror, UnicodeError))
    is_elsewhere = getattr(error, "errno", None) == errno.EADDRNOTAVAIL
    return "--host" if is_unknown or is_elsewhere else "--port"


def _find_renderer_problem(renderer: str) -> str:
    if renderer != "weasyprint":
        return ""
    try:
        load_weasyprint()
    except ImportError:
        return "WeasyPrint is missing: pip install 'django-docraptor[sandbox]'"
    except OSError:
        return f"Pango is missing: {INSTALL_PANGO}, or use --renderer canned"
    return ""


def _fail(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
