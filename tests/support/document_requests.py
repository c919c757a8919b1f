"""Every option with a value, a valid request, and the messages of an invalid one."""

import datetime as dt

import pytest
from django.core.exceptions import ValidationError

from django_docraptor.payloads import DocumentRequest

EXPIRES = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=2)))

PRINCE_OPTIONS = {
    "baseurl": "https://shop.test/",
    "no_xinclude": True,
    "no_network": False,
    "no_parallel_downloads": True,
    "http_user": "user",
    "http_password": "secret",
    "http_proxy": "proxy.test:8080",
    "http_timeout": 60,
    "insecure": False,
    "media": "print",
    "no_author_style": True,
    "no_default_style": True,
    "no_embed_fonts": True,
    "no_subset_fonts": True,
    "no_compress": True,
    "encrypt": True,
    "key_bits": 128,
    "user_password": "secret",
    "owner_password": "secret",
    "disallow_print": True,
    "disallow_copy": True,
    "disallow_annotate": True,
    "disallow_modify": True,
    "allow_assembly": True,
    "allow_copy_for_accessibility": True,
    "debug": True,
    "input": "xml",
    "version": "13",
    "javascript": True,
    "max_passes": 3,
    "css_dpi": 96,
    "profile": "PDF/A-3b",
    "pdf_title": "Grüße",
    "iframes": False,
    "page_margin": "1cm",
    "pdf_forms": True,
}
TOP_LEVEL_OPTIONS = {
    "pipeline": "10.1",
    "strict": "html",
    "ignore_resource_errors": False,
    "ignore_console_messages": True,
    "tag": "shop:1",
    "help": False,
    "javascript": True,
    "referrer": "https://shop.test/",
    "callback_url": "https://shop.test/callback/",
    "hosted_download_limit": 5,
    "hosted_expires_at": EXPIRES,
}


def make_request(**changes):
    """Return a valid request."""
    return DocumentRequest(**{"name": "a.pdf", "content": "<p>Hi</p>"} | changes)


def validation_messages(make, *arguments, **changes):
    """Return the messages of the ValidationError that is raised, by field."""
    with pytest.raises(ValidationError) as caught:
        make(*arguments, **changes)
    return caught.value.message_dict
