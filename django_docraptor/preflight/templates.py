"""Where in a template, or in what it extends and includes, a piece of the HTML was written.

Django does not say from which line of which template its output comes. Text that was written as it
is can be found again; what a variable has brought cannot.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from django.template import Template, TemplateDoesNotExist, TemplateSyntaxError
from django.template.base import FilterExpression
from django.template.loader import get_template
from django.template.loader_tags import ExtendsNode, IncludeNode

from django_docraptor.preflight.problems import Problem


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line, from 1, of a template's file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


def places(template_name: str, problem: Problem) -> list[Place]:
    """Where a problem was written; empty if that is not known.

    The address is looked for; for a tag that is not closed, the tag if there is only one such.
    """
    found = sorted(set(_find(template_name, problem)))
    return found if problem.url or len(found) == 1 else []


def file_of(template_name: str) -> str:
    """The template's file, or its name where it has none."""
    found = next(_family(template_name), None)
    return found.origin.name if found else template_name


def _find(template_name: str, problem: Problem) -> Iterator[Place]:
    written = _pattern(problem)
    if written is None:
        return
    for template in _family(template_name):
        for number, line in enumerate(str(template.source).splitlines(), start=1):
            if written.search(line):
                yield Place(template.origin.name, number)


def _pattern(problem: Problem) -> re.Pattern[str] | None:
    """An address between whatever may stand around one, or else the tag."""
    if url := problem.url.strip():
        either = f"{re.escape(url)}|{re.escape(escape(url))}"
        return re.compile(rf"(?<=[\s\"'(=])(?:{either})(?=[\s\"'),>]|$)")
    if problem.tag:
        return re.compile(rf"<{re.escape(problem.tag)}\b", re.IGNORECASE)
    return None


def _family(template_name: str) -> Iterator[Template]:
    """The template and all that it extends and includes by a literal name."""
    seen, names = set(), [template_name]
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            template = getattr(get_template(name), "template", None)
        except (TemplateDoesNotExist, TemplateSyntaxError, UnicodeDecodeError):
            continue
        if isinstance(template, Template):  # another engine keeps no such tree
            yield template
            names += _relatives(template)


def _relatives(template: Template) -> list[str]:
    extended = template.nodelist.get_nodes_by_type(ExtendsNode)
    included = template.nodelist.get_nodes_by_type(IncludeNode)
    named = [
        *(getattr(node, "parent_name", None) for node in extended),
        *(getattr(node, "template", None) for node in included),
    ]
    # A name that is written out is kept as text, one in a variable as a Variable.
    variables = (name.var for name in named if isinstance(name, FilterExpression))
    return [str(variable) for variable in variables if isinstance(variable, str)]
