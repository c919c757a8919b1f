"""A PostgreSQL server of one's own, which can be killed, frozen and restarted."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from functools import cache
from pathlib import Path

from tests.support.processes import ManagedProcess, free_port, wait_until

# The server refuses to run as root.
SERVER_USER = "postgres"
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "32MB",
    # A crash of the server, unlike one of the machine, loses nothing of what it has written.
    "fsync": "off",
    "log_min_messages": "warning",
}


@cache
def find_binary(name: str) -> str:
    """Return the path of a program of PostgreSQL, or an empty string."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, folders)])) or ""


def is_available() -> bool:
    """Return whether this machine can run a server of its own."""
    return bool(find_binary("initdb") and find_binary("postgres")) and _command_prefix() is not None


def _command_prefix() -> list[str] | None:
    """Return what runs a command as a user that may run the server; None: nothing can."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None or not any(user.pw_name == SERVER_USER for user in pwd.getpwall()):
        return None
    return [setpriv, f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--init-groups"]


class PrivatePostgresql:
    """A server with an empty cluster in a directory.

    Args:
        scratch: the directory; the caller deletes it.
    """

    def __init__(self, scratch: Path) -> None:
        self.port = free_port()
        self.folder = scratch / "postgresql"
        self._prefix = _command_prefix() or []
        options = OPTIONS | {"port": str(self.port), "unix_socket_directories": str(self.folder)}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [*self._prefix, find_binary("postgres"), "-D", str(self.folder), *settings]
        self.process = ManagedProcess("postgresql", command, {}, scratch)

    def start(self) -> None:
        """Create the cluster and start the server."""
        self.folder.mkdir(mode=0o700)
        if self._prefix:
            # The server's user must reach its directory, but need not list what is above it.
            self.folder.parent.chmod(0o711)
            shutil.chown(self.folder, SERVER_USER, SERVER_USER)
        command = [find_binary("initdb"), "-D", str(self.folder), "-U", SERVER_USER, "-A", "trust"]
        subprocess.run(
            [*self._prefix, *command, "--no-sync"], check=True, capture_output=True, timeout=120
        )
        self.process.start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the server accepts connections."""
        command = [find_binary("pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]

        def is_ready() -> bool:
            return not subprocess.run(command, check=False, timeout=30).returncode

        wait_until("the private PostgreSQL accepts connections", is_ready, 60.0)

    def stop(self) -> None:
        """End the server at once, without a checkpoint."""
        if self.process.is_alive:
            # The children have sessions of their own: a killed parent would leave them behind.
            self.process.resume()
            self.process.signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.popen.wait(10.0)
            self.process.kill_all()

    def restart(self) -> None:
        """End the server as a crash does, and start it again: it recovers what was committed."""
        self.stop()
        self.process.start()
