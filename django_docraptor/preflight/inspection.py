"""Internal. Find problems in a document's HTML, and reject what is certain to fail."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from django_docraptor.conf import conf
from django_docraptor.payloads import DocumentRequest
from django_docraptor.preflight import local_files, nesting, resources, url_checks
from django_docraptor.preflight.problems import Problem, Severity

logger = logging.getLogger(__name__)

# Maximum number of reported problems: with more, the template is at fault, not a line.
MAX_REPORTED = 10

Diagnosis = tuple[Severity, str]


def check_content(request: DocumentRequest, *, max_bytes: int, template: str = "") -> None:
    """Reject content that DocRaptor would reject, before it costs anything.

    Possible problems are logged once. Scripts are not run, so resources they load are not checked.

    Args:
        request: the request with the content and its options.
        max_bytes: maximum size in UTF-8.
        template: name of the rendered template, for messages.

    Raises:
        ValidationError: under ``content``, one message for each error, such as a relative resource
            URL without ``baseurl``, to which DocRaptor would respond "File system access is not
            allowed".
    """
    problems = find_problems(
        request.content,
        baseurl=request.prince_options.baseurl or "",
        strict=request.strict or "",
        max_bytes=max_bytes,
        template=template,
    )
    errors = [problem.message for problem in problems if problem.severity == Severity.ERROR]
    if errors:
        omitted = len(errors) - MAX_REPORTED
        more = [f"… and {omitted} more problems."] if omitted > 0 else []
        raise ValidationError({"content": errors[:MAX_REPORTED] + more})
    for problem in problems:
        _log_once(problem.message)


def find_problems(
    html: str,
    *,
    baseurl: str = "",
    strict: str = "",
    max_bytes: int | None = None,
    allow_private: bool | None = None,
    template: str = "",
    now: datetime | None = None,
) -> list[Problem]:
    """Return errors and warnings in document order.

    Args:
        html: the document's content.
        baseurl: the prince option of that name, the base of relative URLs.
        strict: ``"html"`` also checks for unclosed tags.
        max_bytes: maximum size in UTF-8; ``None`` for any size.
        allow_private: whether private hosts are reachable; default: if ``DOCRAPTOR["BASE_URL"]`` is
            on this machine (the sandbox).
        template: name of the rendered template, for messages.
        now: time at which signed URLs must be valid; default: the current time.
    """
    if too_large := _size_problem(html, max_bytes):
        return [too_large]
    inspection = _Inspection(
        baseurl=baseurl,
        allow_private=_is_sandbox() if allow_private is None else allow_private,
        template=template,
        now=now or datetime.now(UTC),
    )
    resources.visit_resources(html, inspection.check_resource)
    tags = inspection.check_nesting(html) if strict == "html" else ()
    return sorted([*inspection.problems, *tags], key=lambda problem: problem.line)


@lru_cache(maxsize=256)
def _log_once(message: str) -> None:
    """Log a warning once per message, using the cache."""
    logger.warning("%s", message)


def _is_sandbox() -> bool:
    return _is_loopback_url(conf.base_url)


@lru_cache(maxsize=16)
def _is_loopback_url(url: str) -> bool:
    return url_checks.is_loopback(urlsplit(url).hostname or "")


def _size_problem(html: str, max_bytes: int | None) -> Problem | None:
    size = len(html.encode("utf-8", "replace"))
    if max_bytes is None or size <= max_bytes:
        return None
    message = (
        f"content has {size:,} bytes, but at most {max_bytes:,} are allowed. Link to images and "
        "fonts instead of embedding them, or pass a url."
    )
    return Problem(
        line=1,
        column=0,
        tag="",
        attribute="",
        url="",
        message=message,
        severity=Severity.ERROR,
    )


class _Inspection:
    """Inspects one document."""

    def __init__(self, *, baseurl: str, allow_private: bool, template: str, now: datetime) -> None:
        self.baseurl = baseurl
        self.allow_private = allow_private
        self.subject = f"the content rendered from {template}" if template else "content"
        self.now = now
        self.problems: list[Problem] = []

    def check_resource(self, resource: resources.Resource) -> None:
        """Record the first problem with a resource."""
        diagnosis = next(self._diagnose(resource), None)
        if diagnosis:
            severity, problem = diagnosis
            location = f"Line {resource.line} of {self.subject}"
            self.problems.append(
                Problem(
                    line=resource.line,
                    column=resource.column,
                    tag=resource.tag,
                    attribute=resource.attribute,
                    url=resource.url,
                    message=f"{location}: {resource.excerpt()} {problem}",
                    severity=severity,
                )
            )

    def check_nesting(self, html: str) -> Iterator[Problem]:
        """Yield a problem for each misnested tag."""
        for tag in nesting.find_misnested_tags(html):
            yield Problem(
                line=tag.line,
                column=tag.column,
                tag=tag.name,
                attribute="",
                url="",
                message=f"Line {tag.line} of {self.subject}: {tag.message}, which DocRaptor "
                'rejects with strict="html". Fix the tags, or remove strict.',
                severity=Severity.ERROR,
            )

    def _diagnose(self, resource: resources.Resource) -> Iterator[Diagnosis]:
        url = resource.url
        base = self.baseurl if url_checks.is_relative(resource.base or ".") else resource.base
        if url_checks.is_relative(url) and (url_checks.is_file_url(url) or not base):
            yield Severity.ERROR, _NOT_ABSOLUTE
        parts = url_checks.resolve_http_url(base, url)
        if parts is None:
            return
        if parts.hostname and url_checks.is_private(parts.hostname) and not self.allow_private:
            yield Severity.ERROR, _PRIVATE.format(host=parts.hostname[:120])
        expires_at = url_checks.signed_url_expiry(parts)
        if expires_at and expires_at <= self.now:
            yield Severity.ERROR, _EXPIRED.format(until=expires_at)
        if missing := local_files.missing_file(url):
            yield Severity.WARNING, _MISSING.format(missing=missing[:160])


_NOT_ABSOLUTE = (
    'is not an absolute URL: DocRaptor would respond "File system access is not allowed". Use an '
    "https:// URL, or set prince_options baseurl to the URL it is relative to."
)
_PRIVATE = (
    "is on {host}, which DocRaptor cannot reach. Embed the file with {{% docraptor_asset %}} or "
    "{{% docraptor_image %}}, or use a public URL."
)
_EXPIRED = (
    "is a signed URL that expired at {until:%Y-%m-%d %H:%M} UTC. Sign it when the document is "
    "rendered, or embed the file with {{% docraptor_image %}}."
)
_MISSING = (
    "refers to the {missing}, which does not exist. Fix the path, or run collectstatic where the "
    "file is served."
)
