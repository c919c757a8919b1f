"""Internal. Find the variables of a template that are undefined, with their template and line.

Django renders them as nothing. While they are traced, the template is compiled again, so that no
other rendering is affected, in whichever thread.
"""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from django.template import Context, Engine, Node, Template, Variable, VariableDoesNotExist
from django.template.backends.django import Template as DjangoTemplate
from django.template.base import FilterExpression
from django.template.context import make_context
from django.template.defaultfilters import default, default_if_none
from django.template.defaulttags import FirstOfNode, IfChangedNode
from django.template.loader import get_template

# Tags that choose among variables which need not all be there. A condition is no expression here.
CHOOSING: Final = (FirstOfNode, IfChangedNode)
# Filters that say what is shown instead of an undefined variable.
DEFAULTS: Final = (default, default_if_none)


class UndefinedVariable(NamedTuple):
    """A variable that had no value, and where it is written; the line is 0 if unknown."""

    file: str
    line: int
    message: str


_found: ContextVar[dict[UndefinedVariable, None] | None] = ContextVar("_found", default=None)


@contextmanager
def trace_variables() -> Iterator[dict[UndefinedVariable, None]]:
    """Collect the undefined variables of the templates that documents render meanwhile.

    A class that overrides ``render()`` does so if it calls ``super().render()``. Templates of other
    engines than Django's are not traced.
    """
    found: dict[UndefinedVariable, None] = {}
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def render_template(name: str, context: Mapping[str, Any]) -> str:
    """Render a template as ``render_to_string()`` does, and trace its variables if asked to."""
    template = get_template(name)
    found = _found.get()
    if found is None or not isinstance(template, DjangoTemplate):
        return template.render(dict(context))
    engine = _TracingEngine(template.backend.engine, found)
    traced = engine.get_template(name)
    return traced.render(make_context(dict(context), autoescape=engine.autoescape))


class _TracingEngine(Engine):
    """Loads templates of its own, as another engine would, and traces their variables."""

    def __init__(self, engine: Engine, found: dict[UndefinedVariable, None]) -> None:
        """Take over the settings of an engine, but not its loaders, which cache templates."""
        settings = {
            name: value for name, value in vars(engine).items() if name != "template_loaders"
        }
        vars(self).update(settings)
        self._found = found

    def find_template(self, name: str, dirs: Any = None, skip: Any = None) -> tuple[Template, Any]:
        """Return a template whose variables are traced; inherited and included ones, too."""
        template, origin = super().find_template(name, dirs, skip)
        for node in template.nodelist.get_nodes_by_type(Node):
            for expression in () if isinstance(node, CHOOSING) else _expressions(node):
                self._trace(node, expression)
        return template, origin

    def _trace(self, node: Node, expression: FilterExpression) -> None:
        variable: Any = expression.var
        has_default = any(function in DEFAULTS for function, _arguments in expression.filters)
        if has_default or type(variable) is not Variable:
            return
        file = str(node.origin.name) if node.origin else ""
        expression.var = _TracedVariable(str(variable.var), self._found, file, _line(node))


class _TracedVariable(Variable):
    """A variable that notes that it is undefined."""

    def __init__(
        self, text: str, found: dict[UndefinedVariable, None], file: str, line: int
    ) -> None:
        super().__init__(text)
        self._found = found
        self._place = (file, line)

    def resolve(self, context: Any) -> Any:
        """Return the value.

        Raises:
            VariableDoesNotExist: there is none. An attribute of ``None`` is not noted: whether
                there is an object depends on the data.
        """
        try:
            return super().resolve(context)
        except VariableDoesNotExist as error:
            name, owner = error.params[:2] if len(error.params) > 1 else (self.var, None)
            if owner is not None:
                message = _message(str(self.var), str(name), owner)
                self._found[UndefinedVariable(*self._place, message)] = None
            raise


def _expressions(node: Node) -> Iterator[FilterExpression]:
    """Yield the expressions of a tag or variable, such as its arguments."""
    for value in vars(node).values():
        parts: Any = [value]
        if isinstance(value, list | tuple):
            parts = value
        elif isinstance(value, dict):
            parts = value.values()
        yield from (part for part in parts if isinstance(part, FilterExpression))


def _line(node: Node) -> int:
    token = getattr(node, "token", None)
    return int(getattr(token, "lineno", 0) or 0)


def _message(text: str, name: str, owner: Any) -> str:
    """Return what is undefined, and the nearest name that is not. No value is shown."""
    if isinstance(owner, Context):
        problem, names = "is not in the context", list(owner.flatten())
    elif isinstance(owner, Mapping):
        problem, names = f"is undefined: the dict has no {name!r}", list(owner)
    else:
        problem = f"is undefined: {type(owner).__name__} has no {name!r}"
        names = [known for known in dir(owner) if not known.startswith("_")]
    nearest = difflib.get_close_matches(name, map(str, names), n=1)
    hint = f"Did you mean {nearest[0]}?" if nearest else "It is rendered as nothing."
    return f"{{{{ {text} }}}} {problem}. {hint}"
