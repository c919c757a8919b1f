"""Find the problems of a document's HTML, and refuse what is certain to fail."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from django_docraptor.conf import conf
from django_docraptor.payloads import DocumentRequest
from django_docraptor.preflight import addresses, local, nesting, resources
from django_docraptor.preflight.problems import Problem, Severity

logger = logging.getLogger(__name__)

# As many are told; who has more corrects a template, not a line.
MAX_TOLD = 10

Verdict = tuple[Severity, str]


def check_content(request: DocumentRequest, *, max_bytes: int, template: str = "") -> None:
    """Refuse content that DocRaptor would refuse, while it is still free to do so.

    What may be a problem is logged, once. Scripts are not run: what they load is not seen.

    Args:
        max_bytes: the most that the content may have in UTF-8.
        template: name of the template that was rendered, for the messages.

    Raises:
        ValidationError: under ``content``, one message for each problem that is certain to fail,
            such as a relative resource URL without ``baseurl``, for which DocRaptor's answer is
            "File system access is not allowed".
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
        more = [f"There are {len(errors) - MAX_TOLD} more."] if len(errors) > MAX_TOLD else []
        raise ValidationError({"content": errors[:MAX_TOLD] + more})
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
    """What will fail, or may be other than it should, in the order of the HTML.

    Args:
        baseurl: the prince option of that name, to which relative URLs are relative.
        strict: ``"html"`` to look for tags that are not closed, too.
        max_bytes: the most that the HTML may have in UTF-8; ``None`` for any size.
        allow_private: whether hosts of this network can be reached. By default, if DocRaptor is
            the sandbox: ``DOCRAPTOR["BASE_URL"]`` is on this machine.
        template: name of the template that was rendered, for the messages.
        now: when signed addresses must still be good; by default the present.
    """
    if too_large := _size_problem(html, max_bytes):
        return [too_large]
    inspection = _Inspection(
        baseurl=baseurl,
        allow_private=_is_sandbox() if allow_private is None else allow_private,
        template=template,
        now=now or datetime.now(UTC),
    )
    resources.feed(html, inspection.look_at)
    tags = inspection.nesting(html) if strict == "html" else ()
    return sorted([*inspection.problems, *tags], key=lambda problem: problem.line)


@lru_cache(maxsize=256)
def _log_once(message: str) -> None:
    """Log a warning; the cache keeps the same one from being logged for each document."""
    logger.warning("%s", message)


def _is_sandbox() -> bool:
    return _is_here(conf.base_url)


@lru_cache(maxsize=16)
def _is_here(url: str) -> bool:
    return addresses.is_loopback(urlsplit(url).hostname or "")


def _size_problem(html: str, max_bytes: int | None) -> Problem | None:
    size = len(html.encode("utf-8", "replace"))
    if max_bytes is None or size <= max_bytes:
        return None
    message = (
        f"content has {size:,} bytes, more than the {max_bytes:,} allowed: link to "
        "images and fonts instead of embedding them, or give a url."
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
    """Looks at one document."""

    def __init__(self, *, baseurl: str, allow_private: bool, template: str, now: datetime) -> None:
        self.baseurl = baseurl
        self.allow_private = allow_private
        self.of = f"content, as rendered from {template}" if template else "content"
        self.now = now
        self.problems: list[Problem] = []

    def look_at(self, found: resources.Resource) -> None:
        """Note the first thing that is wrong with a resource."""
        verdict = next(self._verdicts(found), None)
        if verdict:
            severity, wrong = verdict
            self.problems.append(
                Problem(
                    line=found.line,
                    column=found.column,
                    tag=found.tag,
                    attribute=found.attribute,
                    url=found.url,
                    message=f"Line {found.line} of {self.of}: {found.shown()} {wrong}",
                    severity=severity,
                )
            )

    def nesting(self, html: str) -> Iterator[Problem]:
        """The tags that are not closed where they should be."""
        for found in nesting.misnested(html):
            yield Problem(
                line=found.line,
                column=found.column,
                tag=found.tag,
                attribute="",
                url="",
                message=f'Line {found.line} of {self.of}: {found.wrong}, which strict "html" '
                "refuses. Correct the tags, or leave strict out.",
                severity=Severity.ERROR,
            )

    def _verdicts(self, found: resources.Resource) -> Iterator[Verdict]:
        base = self.baseurl if addresses.is_relative(found.base or ".") else found.base
        if addresses.is_relative(found.url) and (addresses.is_file(found.url) or not base):
            yield Severity.ERROR, _NO_ADDRESS
        parts = addresses.resolved(base, found.url)
        if parts is None:
            return
        if parts.hostname and addresses.is_private(parts.hostname) and not self.allow_private:
            yield Severity.ERROR, _PRIVATE.format(host=parts.hostname[:120])
        until = addresses.expiry(parts)
        if until and until <= self.now:
            yield Severity.ERROR, _EXPIRED.format(until=until)
        if missing := local.missing(found.url):
            yield Severity.WARNING, _MISSING.format(missing=missing[:160])


_NO_ADDRESS = (
    'has no full address, and DocRaptor would answer "File system access is not allowed". Write '
    "the address with https://, or set prince_options baseurl to the address that it is relative "
    "to."
)
_PRIVATE = (
    "is on {host}, which DocRaptor cannot reach from outside. Embed the file with "
    "{{% docraptor_asset %}} or {{% docraptor_image %}}, or give its public address."
)
_EXPIRED = (
    "is a signed address that ended at {until:%Y-%m-%d %H:%M} UTC. Sign it when the document is "
    "rendered, or embed the file with {{% docraptor_image %}}."
)
_MISSING = (
    "names the {missing}, which there is not. Correct the path, or run collectstatic where the "
    "file is served."
)
