"""Internal. What a browser loads with the HTML of a preview: its base, and other sites."""

import re
from html import escape
from typing import Final

from django_docraptor.payloads import DocumentRequest
from django_docraptor.preflight import url_checks
from django_docraptor.preflight.inspection import options_of
from django_docraptor.preflight.loading import Engine
from django_docraptor.preflight.resources import Resource, visit_resources

_HEAD: Final = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_BASE: Final = re.compile(r"<base\b", re.IGNORECASE)


def html_with_base(request: DocumentRequest, base: str = "") -> str:
    """Return the HTML with the prince option ``baseurl`` as its base, unless it has one itself.

    Args:
        request: with the HTML.
        base: instead of that option.
    """
    html, base = request.content, base or request.prince_options.baseurl or ""
    if not base or _BASE.search(html):
        return html
    return _HEAD.sub(lambda head: f'{head.group()}<base href="{escape(base)}">', html, count=1)


def other_hosts(request: DocumentRequest, own_host: str) -> list[str]:
    """Return the hosts of other sites from which the HTML loads something.

    Args:
        request: with the HTML.
        own_host: of this site, with its port.
    """
    options = options_of(request)
    engine = Engine(**{name: options[name] for name in ("javascript", "media", "author_style")})
    hosts: set[str] = set()

    def visit(resource: Resource) -> None:
        parts = url_checks.resolve_http_url(resource.base or options["baseurl"], resource.url)
        if parts and parts.netloc and parts.netloc != own_host:
            hosts.add(parts.netloc.rpartition("@")[2][:120])

    visit_resources(request.content, visit, engine)
    return sorted(hosts)
