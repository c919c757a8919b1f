"""Internal. The probe: a free test document that dates DocRaptor's log of a quiet account.

An attempt that is not listed is only proven to be missing if a later one is. If none is sent, this
module sends one. It is no job: it has no row, no file and no callback, and its status is not read.
"""

import logging
import secrets
from datetime import datetime

from django_docraptor.lifecycle.account_log import PROBE_TAG_PREFIX
from django_docraptor.lifecycle.clients import KeyedClient
from django_docraptor.models import Account
from django_docraptor.payloads import DocumentRequest

logger = logging.getLogger(__name__)


def send_probe(keyed: KeyedClient, *, needed_after: datetime, valid_seconds: float) -> bool:
    """Send a probe, unless the account has one that will do, or its circuit is open.

    Args:
        keyed: the account's client.
        needed_after: a probe that was sent later will do.
        valid_seconds: how long others may wait for a probe that will not do.

    Returns:
        Whether DocRaptor accepted a probe.
    """
    account, tag = keyed.account, f"{PROBE_TAG_PREFIX}{secrets.token_hex(8)}"
    # First the row: two workers send one probe, and its time is before the call.
    if not Account.claim_probe(
        account, tag, needed_after=needed_after, valid_seconds=valid_seconds
    ):
        return False
    request = DocumentRequest(
        name="probe", content="<p>Probe</p>", test=True, tag=f"{tag} django-docraptor"
    )
    try:
        keyed.call("create_probe", lambda client: client.create_async_doc(request))
    except Exception as error:  # noqa: BLE001 - a custom client may raise anything
        logger.info("Account %s: the probe failed: %s", account, error)
        Account.drop_probe(account, tag)
        return False
    logger.info("Account %s: sent the probe %s", account, tag)
    return True
