"""Internal. What would fail at DocRaptor in the document of one object, with its template lines.

For the command ``docraptor_preflight`` and the previews. Nothing is sent or stored.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError

from django_docraptor.account_settings import account_settings
from django_docraptor.assets import AssetError
from django_docraptor.conf import conf
from django_docraptor.documents.undefined_variables import UndefinedVariable, trace_variables
from django_docraptor.job_specs import JobSpec
from django_docraptor.payloads import DocumentRequest, merge_options
from django_docraptor.preflight import Problem, Rule, Severity, find_problems, options_of
from django_docraptor.preflight.errors import template_location
from django_docraptor.preflight.locations import Location, find_locations, template_path

if TYPE_CHECKING:
    from django_docraptor.documents.declaration import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem with the document of one object.

    ``locations`` are in templates; ``rendered_line`` is in the HTML, or 0.
    """

    source: str
    severity: Severity
    message: str
    locations: tuple[Location, ...]
    rendered_line: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON-serializable data."""
        return {
            "source": self.source,
            "severity": self.severity,
            "message": self.message,
            "rendered_line": self.rendered_line,
            "locations": [
                {"file": location.file, "line": location.line} for location in self.locations
            ],
        }


def inspect_document(
    document: "type[Document[Any]]", source: Any, params: Mapping[str, Any], *, strict: bool
) -> Iterator[Finding]:
    """Yield the problems with one object's document."""
    name = str(getattr(source, "pk", "")) or "all"
    request: DocumentRequest | Exception
    with trace_variables() as undefined:
        try:
            request = request_for(document.spec(source, params=params, snapshot=True))
        except Exception as error:  # noqa: BLE001 - a template raises what the project's code raises
            request = error
    yield from undefined_variables(document, undefined, source=name)
    if isinstance(request, Exception):
        location = template_location(request) or Location(template_path(document.template_name), 0)
        yield Finding(
            source=name,
            severity=Severity.ERROR,
            message=error_message(request),
            locations=(location,),
        )
        return
    yield from inspect_request(document, request, source=name, strict=strict)


def undefined_variables(
    document: "type[Document[Any]]", undefined: Iterable[UndefinedVariable], *, source: str
) -> Iterator[Finding]:
    """Yield a warning for each variable that was traced while a document was rendered.

    Args:
        document: the class that has rendered it; it may turn the rule off.
        undefined: what `trace_variables` has collected.
        source: name of the object.
    """
    if Rule.UNDEFINED_VARIABLE in {*document.preflight_ignore, *conf.preflight_ignore}:
        return
    for variable in sorted(undefined):
        yield Finding(
            source=source,
            severity=Severity.WARNING,
            message=f"{variable.message} ({Rule.UNDEFINED_VARIABLE})",
            locations=(Location(variable.file, variable.line),),
        )


def request_for(spec: JobSpec) -> DocumentRequest:
    """Return the request for a spec that has its content, or a URL of it.

    Raises:
        ValidationError: a field is invalid.
        ConfigurationError: there is no such account.
    """
    return DocumentRequest.from_options(
        name=spec.name,
        document_type=spec.document_type,
        content=spec.content,
        url=spec.url,
        options=merge_options(account_settings(spec.account).defaults, spec.options),
    )


def inspect_request(
    document: "type[Document[Any]]", request: DocumentRequest, *, source: str, strict: bool = False
) -> Iterator[Finding]:
    """Yield the problems with the content of a request.

    Args:
        document: the class that has rendered it.
        request: with content.
        source: name of the object.
        strict: whether to report unclosed tags, whatever the options say.
    """
    options = options_of(request) | ({"strict": "html"} if strict else {})
    problems = find_problems(
        request.content,
        **options,
        ignore=document.preflight_ignore,
        max_bytes=conf.max_content_bytes,
        allow_private=False,  # private hosts that the sandbox allows fail at DocRaptor
        template=document.template_name,
    )
    yield from (_finding(document, source, problem) for problem in problems)


def error_message(error: BaseException) -> str:
    """Return what an error says, for a person: its kind too, unless the message is ours."""
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return str(error) if isinstance(error, AssetError) else f"{type(error).__name__}: {error}"


def _finding(document: "type[Document[Any]]", source: str, problem: Problem) -> Finding:
    found = find_locations(document.template_name, problem)
    if not found and document.template_name:
        found = [Location(template_path(document.template_name), 0)]
    return Finding(
        source=source,
        severity=problem.severity,
        message=problem.message,
        locations=tuple(found),
        rendered_line=problem.line,
    )
