"""Internal. How long calls may take. Imports no HTTP library, because leases follow from it."""

from typing import NamedTuple


class Timeouts(NamedTuple):
    """Timeouts in seconds.

    Args:
        connect: to establish the connection.
        create_read: between two reads of the response to a create; also to send its body.
        sync_read: the same for a synchronous create. DocRaptor takes up to 60 s; a shorter timeout
            would bill documents that are never received.
        status_read: the same for status, listings and expiry.
        download_read: the same for a download.
        total: for a whole create or download, from the connection to the end of the body.
    """

    connect: float = 5
    create_read: float = 30
    sync_read: float = 65
    status_read: float = 15
    download_read: float = 60
    total: float = 120

    @property
    def status_total(self) -> float:
        """Seconds for a whole status, listing or expiry call, whose response is small."""
        return min(self.total, self.connect + 2 * self.status_read)
