"""Internal. Find the template line that produced a piece of HTML.

Extended and included templates are searched, too. Django does not record the line. Literal text can
be found again; the value of a variable cannot.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from django.template import Template, TemplateDoesNotExist, TemplateSyntaxError
from django.template.base import FilterExpression
from django.template.loader import get_template
from django.template.loader_tags import ExtendsNode, IncludeNode

from django_docraptor.preflight.problems import Problem


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A line of a template file, from 1; 0 if it is unknown."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return ``file:line``, which editors understand."""
        return f"{self.file}:{self.line}" if self.line else self.file


def find_locations(template_name: str, problem: Problem) -> list[Location]:
    """Return the locations of a problem; empty if unknown.

    Searches for the URL, or for an unclosed tag if it occurs only once.
    """
    locations = sorted(set(_find(template_name, problem)))
    return locations if problem.url or len(locations) == 1 else []


def template_path(template_name: str) -> str:
    """Return the template's path, or its name if it has none."""
    template = next(_template_tree(template_name), None)
    return template.origin.name if template else template_name


def template_files(template_name: str) -> list[str]:
    """Return the paths of a template and of all that it extends or includes by a literal name."""
    return sorted(template.origin.name for template in _template_tree(template_name))


def relative_path(location: Location) -> str:
    """Return ``file:line``, relative to the working directory if possible.

    Terminals make it clickable.
    """
    return str(location).removeprefix(f"{Path.cwd()}{os.sep}")


def _find(template_name: str, problem: Problem) -> Iterator[Location]:
    pattern = _pattern(problem)
    if pattern is None:
        return
    for template in _template_tree(template_name):
        for number, line in enumerate(str(template.source).splitlines(), start=1):
            if pattern.search(line):
                yield Location(template.origin.name, number)


def _pattern(problem: Problem) -> re.Pattern[str] | None:
    """Return a pattern for the delimited URL, or else for the tag."""
    if url := problem.url.strip():
        plain_or_escaped = f"{re.escape(url)}|{re.escape(escape(url))}"
        return re.compile(rf"(?<=[\s\"'(=])(?:{plain_or_escaped})(?=[\s\"'),>]|$)")
    if problem.tag:
        return re.compile(rf"<{re.escape(problem.tag)}\b", re.IGNORECASE)
    return None


def _template_tree(template_name: str) -> Iterator[Template]:
    """Yield the template and all templates it extends or includes by a literal name."""
    seen, names = set(), [template_name] if template_name else []
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            template = getattr(get_template(name), "template", None)
        except (TemplateDoesNotExist, TemplateSyntaxError, UnicodeDecodeError):
            continue
        if isinstance(template, Template):  # other engines have no such tree
            yield template
            names += _referenced_names(template)


def _referenced_names(template: Template) -> list[str]:
    extended = template.nodelist.get_nodes_by_type(ExtendsNode)
    included = template.nodelist.get_nodes_by_type(IncludeNode)
    named = [
        *(getattr(node, "parent_name", None) for node in extended),
        *(getattr(node, "template", None) for node in included),
    ]
    # A literal name is a str, a name in a variable is a Variable.
    variables = (name.var for name in named if isinstance(name, FilterExpression))
    return [str(variable) for variable in variables if isinstance(variable, str)]
