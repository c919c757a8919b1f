"""Internal. Read the model that a class names in brackets, such as ``Document[Invoice]``."""

import sys
from typing import Any, ForwardRef, TypeVar, get_args, get_origin

from django.db.models import Model

# Beginning of the names of the modules whose classes take the model.
PACKAGE = "django_docraptor.documents."


def model_argument(cls: type) -> type[Model] | None:
    """Return the model that a class gives to ``Document`` or ``QuerysetDocument``.

    It may do so through a generic base class of the project.

    Returns:
        The model; ``None`` if there is none, more than one, or an abstract one.
    """
    generic = next((base for base in cls.__mro__[1:] if base.__module__.startswith(PACKAGE)), None)
    argument = _argument(cls, generic) if generic else None
    if not (isinstance(argument, type) and issubclass(argument, Model)):
        return None
    return None if argument._meta.abstract else argument


def _argument(cls: type, generic: type) -> Any:
    """Return what stands for the parameter of a generic base: a type, or a TypeVar of ``cls``."""
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin: Any = get_origin(base) or base
        if not (isinstance(origin, type) and issubclass(origin, generic)):
            continue
        given = [_resolve(argument, cls) for argument in get_args(base)]
        if origin is generic:
            return given[0] if given else None
        found = _argument(origin, generic)
        if not isinstance(found, TypeVar):
            return found
        parameters: tuple[Any, ...] = vars(origin).get("__parameters__", ())
        return dict(zip(parameters, given, strict=False)).get(found)
    return None


def _resolve(argument: Any, cls: type) -> Any:
    """Return a type; one in quotes if the class's module has it already."""
    if not isinstance(argument, ForwardRef):
        return argument
    return getattr(sys.modules.get(cls.__module__), argument.__forward_arg__, None)
