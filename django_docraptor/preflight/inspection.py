"""Internal. Find problems in a document's HTML, and reject what is certain to fail."""

import logging
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from django_docraptor import __version__
from django_docraptor.callback_urls import path_on_this_site
from django_docraptor.conf import conf
from django_docraptor.payloads import DocumentRequest
from django_docraptor.payloads.utf8 import slices, utf8_size
from django_docraptor.preflight import local_files, login_pages, nesting, resources, url_checks
from django_docraptor.preflight.loading import Engine
from django_docraptor.preflight.problems import Problem, Rule, Severity

logger = logging.getLogger(__name__)

# Maximum number of reported problems: with more, the template is at fault, not a line.
MAX_REPORTED = 10

Diagnosis = tuple[Rule, Severity, str]


def check_content(
    request: DocumentRequest,
    *,
    max_bytes: int,
    template: str = "",
    ignore: Collection[str] = (),
    is_signed: bool = False,
    passed: str = "",
) -> str:
    """Reject content, or a URL of it, that DocRaptor would reject, before it costs anything.

    Possible problems are logged once. Scripts are not run, so resources they load are not checked.
    Content that has passed, when it was enqueued for example, is not read again.

    Args:
        request: the request with the content, or its URL, and the options.
        max_bytes: maximum size of the content in UTF-8.
        template: name of the rendered template, for messages.
        ignore: names of rules that the document turns off.
        is_signed: whether its URL is a page of this site that is signed when it is sent.
        passed: what an earlier call has returned, in this process or another.

    Returns:
        A digest of the content and of all that its check depends on; empty if the check is to be
        repeated in any case, since the content has a signed URL, which expires.

    Raises:
        ValidationError: under ``content``, one message for each error, such as a relative resource
            URL without ``baseurl``, to which DocRaptor would respond "File system access is not
            allowed"; under ``url``, why DocRaptor cannot fetch it.
    """
    if request.url:
        check_url(request.url, test=request.test, ignore=ignore, is_signed=is_signed)
    inspection = _Inspection(
        allow_private=_is_sandbox(),
        ignore=ignore,
        max_bytes=max_bytes,
        template=template,
        **_inspected(**options_of(request)),
    )
    digest = inspection.digest(request.content)
    if passed == digest:
        return digest
    problems = inspection.find_problems(request.content)
    errors = [problem.message for problem in problems if problem.severity == Severity.ERROR]
    if errors:
        omitted = len(errors) - MAX_REPORTED
        more = [f"… and {omitted} more problems."] if omitted > 0 else []
        raise ValidationError({"content": errors[:MAX_REPORTED] + more})
    for problem in problems:
        _log_once(problem.message)
    return "" if inspection.has_signed_url else digest


def options_of(request: DocumentRequest) -> dict[str, Any]:
    """Return the options of a request that :func:`find_problems` takes."""
    prince = request.prince_options
    return {
        "baseurl": prince.baseurl or "",
        "strict": request.strict or "",
        "javascript": bool(request.javascript or prince.javascript),
        "media": prince.media or "print",
        "iframes": bool(prince.iframes),
        "author_style": not prince.no_author_style,
    }


def check_url(
    url: str, *, test: bool, ignore: Collection[str] = (), is_signed: bool = False
) -> None:
    """Reject the URL of a document's content as a link in HTML is rejected, or if it needs a login.

    Args:
        url: absolute.
        test: whether it is a test document: only these may be on a private host that the sandbox
            can reach. A production document is meant for DocRaptor.
        ignore: names of rules that the document turns off.
        is_signed: whether it is a page of this site that is signed when it is sent.

    Raises:
        ValidationError: under ``url``, why DocRaptor cannot fetch it.
    """
    inspection = _Inspection(allow_private=test and _is_sandbox(), ignore=ignore)
    shown = resources.shorten_url(url)
    diagnoses = [(rule, problem) for rule, _severity, problem in inspection.diagnose_host("", url)]
    path = path_on_this_site(url)
    if path is not None and login_pages.needs_login(path, is_signed=is_signed):
        diagnoses.append((Rule.LOGIN_PAGE, _LOGIN))
    messages = [
        f"url {shown} {problem}{_NAMED.format(rule=rule)}"
        for rule, problem in diagnoses
        if inspection.applies(rule)
    ]
    if messages:
        raise ValidationError({"url": messages})


def find_problems(
    html: str,
    *,
    baseurl: str = "",
    strict: str = "",
    javascript: bool = False,
    media: str = "print",
    iframes: bool = False,
    author_style: bool = True,
    max_bytes: int | None = None,
    allow_private: bool | None = None,
    template: str = "",
    now: datetime | None = None,
    ignore: Collection[str] = (),
) -> list[Problem]:
    """Return errors and warnings in document order.

    What is never loaded in print is no problem, such as a favicon; what is perhaps loaded is a
    warning.

    Args:
        html: the document's content.
        baseurl: the prince option of that name, the base of relative URLs.
        strict: ``"html"`` also checks for unclosed tags.
        javascript: whether scripts are run, by DocRaptor's option or the prince option.
        media: the prince option of that name: the type of media whose styles apply.
        iframes: the prince option of that name: whether frames are loaded.
        author_style: whether the document's own styles apply.
        max_bytes: maximum size in UTF-8; ``None`` for any size.
        allow_private: whether private hosts are reachable; default: if ``DOCRAPTOR["BASE_URL"]`` is
            on this machine (the sandbox).
        template: name of the rendered template, for messages.
        now: time at which signed URLs must be valid; default: the current time.
        ignore: names of rules to turn off, beside those of ``DOCRAPTOR["PREFLIGHT_IGNORE"]``.
    """
    inspection = _Inspection(
        allow_private=_is_sandbox() if allow_private is None else allow_private,
        ignore=ignore,
        max_bytes=max_bytes,
        baseurl=baseurl,
        strict=strict,
        engine=Engine(
            javascript=javascript, media=media, iframes=iframes, author_style=author_style
        ),
        template=template,
        now=now,
    )
    return inspection.find_problems(html)


def _inspected(*, baseurl: str, strict: str, **engine: Any) -> dict[str, Any]:
    """Return the options of :func:`options_of` as :class:`_Inspection` takes them."""
    return {"baseurl": baseurl, "strict": strict, "engine": Engine(**engine)}


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
    if max_bytes is None or (size := utf8_size(html)) <= max_bytes:
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
        rule=Rule.CONTENT_SIZE,
    )


class _Inspection:
    """Inspects one document."""

    def __init__(
        self,
        *,
        allow_private: bool,
        ignore: Collection[str],
        max_bytes: int | None = None,
        baseurl: str = "",
        strict: str = "",
        engine: Engine | None = None,
        template: str = "",
        now: datetime | None = None,
    ) -> None:
        self.allow_private = allow_private
        self.ignored = {*ignore, *conf.preflight_ignore}
        self.max_bytes = max_bytes
        self.baseurl = baseurl
        self.strict = strict
        self.engine = engine or Engine()
        self.subject = f"the content rendered from {template}" if template else "content"
        self.now = now or datetime.now(UTC)
        self.has_signed_url = False
        self.problems: list[Problem] = []

    def digest(self, html: str) -> str:
        """Return a digest of the HTML and of what its check depends on, but for the time."""
        rules = (self.allow_private, sorted(self.ignored), self.max_bytes, self.baseurl)
        context = (__version__, *rules, self.strict, self.engine)
        digest = blake2b(f"{context}\n".encode("utf-8", "surrogatepass"), digest_size=16)
        for piece in slices(html):
            digest.update(piece.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def find_problems(self, html: str) -> list[Problem]:
        """Return the problems in document order."""
        if self.applies(Rule.CONTENT_SIZE) and (problem := _size_problem(html, self.max_bytes)):
            return [problem]
        resources.visit_resources(html, self.check_resource, self.engine)
        if self.strict == "html" and self.applies(Rule.MISNESTED_TAG):
            self.problems += self.check_nesting(html)
        return sorted(self.problems, key=lambda problem: problem.line)

    def applies(self, rule: Rule) -> bool:
        """Return whether neither the project nor the document has turned the rule off."""
        return rule not in self.ignored

    def check_resource(self, resource: resources.Resource) -> None:
        """Record the first problem with a resource."""
        found = (diagnosis for diagnosis in self._diagnose(resource) if self.applies(diagnosis[0]))
        if diagnosis := next(found, None):
            rule, severity, problem = diagnosis
            if severity == Severity.ERROR and not resource.is_certain:
                severity, problem = Severity.WARNING, problem + _UNCERTAIN
            location = f"Line {resource.line} of {self.subject}"
            self.problems.append(
                Problem(
                    line=resource.line,
                    column=resource.column,
                    tag=resource.tag,
                    attribute=resource.attribute,
                    url=resource.url,
                    message=f"{location}: {resource.excerpt()} {problem}"
                    + _NAMED.format(rule=rule),
                    severity=severity,
                    rule=rule,
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
                'rejects with strict="html". Fix the tags, or remove strict.'
                + _NAMED.format(rule=Rule.MISNESTED_TAG),
                severity=Severity.ERROR,
                rule=Rule.MISNESTED_TAG,
            )

    def _diagnose(self, resource: resources.Resource) -> Iterator[Diagnosis]:
        url = resource.url
        base = self.baseurl if url_checks.is_relative(resource.base or ".") else resource.base
        if url_checks.is_relative(url) and (url_checks.is_file_url(url) or not base):
            yield Rule.RELATIVE_URL, Severity.ERROR, _NOT_ABSOLUTE
        if url_checks.resolve_http_url(base, url) is None:
            return
        yield from self.diagnose_host(base, url)
        if missing := local_files.missing_file(url):
            yield Rule.MISSING_FILE, Severity.WARNING, _MISSING.format(missing=missing[:160])

    def diagnose_host(self, base: str, url: str) -> Iterator[Diagnosis]:
        """Yield why DocRaptor cannot fetch an http(s) URL."""
        parts = url_checks.resolve_http_url(base, url)
        if parts is None:
            return
        if parts.hostname and url_checks.is_private(parts.hostname) and not self.allow_private:
            problem = _PRIVATE.format(host=parts.hostname[:120])
            yield Rule.PRIVATE_HOST, Severity.ERROR, problem
        expires_at = url_checks.signed_url_expiry(parts)
        self.has_signed_url |= expires_at is not None
        if expires_at and expires_at <= self.now:
            yield Rule.EXPIRED_URL, Severity.ERROR, _EXPIRED.format(until=expires_at)


# What ends each message: how to turn its rule off.
_NAMED = " ({rule})"
_UNCERTAIN = " It is not known whether it is loaded in print."
_NOT_ABSOLUTE = (
    'is not an absolute URL: DocRaptor would respond "File system access is not allowed". Use an '
    "https:// URL, or set prince_options baseurl to the URL it is relative to."
)
_PRIVATE = (
    "is on {host}, which DocRaptor cannot reach. Embed the file with {{% docraptor_asset %}} or "
    "{{% docraptor_image %}}, or use a public URL."
)
_LOGIN = (
    "is a page of this site that needs a login: the document would show the login page. Decorate "
    "its view with @document_page, and pass its path, such as url='/invoices/17/', with an owner."
)
_EXPIRED = (
    "is a signed URL that expired at {until:%Y-%m-%d %H:%M} UTC. Sign it when the document is "
    "rendered, or embed the file with {{% docraptor_image %}}."
)
_MISSING = (
    "refers to the {missing}, which does not exist. Fix the path, or run collectstatic where the "
    "file is served."
)
