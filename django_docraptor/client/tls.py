"""Internal. TLS contexts, shared by all connections of this process.

Reading a CA bundle takes ten times as long as a handshake, so a context is kept for as long as its
bundle does not change. A forked process may use those of its parent: they hold no connection.
"""

import os
import ssl
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

ALPN_PROTOCOLS: Final = ["http/1.1"]


def shared_context(ca_bundle: str) -> ssl.SSLContext:
    """Return the context that trusts a CA bundle, and checks certificates and host names.

    Args:
        ca_bundle: path of a file or directory of CA certificates; blank for certifi's.

    Raises:
        OSError: the bundle cannot be read.
    """
    path = ca_bundle or DEFAULT_CA_BUNDLE_PATH
    try:
        found = os.stat(path)
        return _load(path, (found.st_mtime_ns, found.st_size, found.st_ino))
    except OSError as error:
        reason = error.strerror or str(error)
    raise OSError(f"the CA bundle {path} (DOCRAPTOR['CA_BUNDLE']) cannot be read: {reason}")


@lru_cache(maxsize=4)
def _load(path: str, _version: tuple[int, ...]) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    if os.path.isdir(path):
        context.load_verify_locations(capath=path)
    else:
        context.load_verify_locations(cafile=path)
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    # urllib3 sets them for each connection. OpenSSL frees the previous ones, which another thread
    # may be copying. Only this context loses its method, which mypy cannot tell from an error.
    context.set_alpn_protocols = _keep_protocols  # type: ignore[method-assign]
    return context


def _keep_protocols(alpn_protocols: Iterable[str]) -> None:
    """Leave a shared context as it is."""
