"""``{% load docraptor %}``: tags that make a document's template need nothing of this site."""

from collections.abc import Callable
from typing import Any

from django import template
from django.template.base import FilterExpression, Parser, Token
from django.utils.html import conditional_escape

from django_docraptor.assets import AssetError, Budget, asset_url, image_url, stylesheet

register = template.Library()

Make = Callable[[Any, Budget], str]
_BUDGET = "django_docraptor.budget"


class AssetNode(template.Node):
    """A tag with one argument, and ``as name`` if it is wanted."""

    def __init__(self, tag: str, make: Make, argument: FilterExpression, target: str) -> None:
        self.tag = tag
        self.make = make
        self.argument = argument
        self.target = target

    def render(self, context: template.Context) -> str:
        """What the tag stands for. Raises AssetError, with the place of the tag."""
        try:
            value = self.make(self.argument.resolve(context), _budget(context))
        except AssetError as error:
            line = self.token.lineno if self.token else 0
            said = f"{self.tag} {self.argument.token}"
            raise error.located(said, self._template(), line or 0) from error
        if self.target:
            context[self.target] = value
            return ""
        return conditional_escape(value) if context.autoescape else value

    def _template(self) -> str:
        return str(getattr(self.origin, "template_name", None) or "a template")


def _budget(context: template.Context) -> Budget:
    """The render's budget, which included templates share: they have the bottom dict in common."""
    shared: dict[Any, Any] = context.render_context.dicts[0]
    budget: Budget = shared.setdefault(_BUDGET, Budget())
    return budget


def _parse(parser: Parser, token: Token, make: Make) -> AssetNode:
    tag, *words = token.split_contents()
    target = words.pop() if len(words) == 3 and words[1] == "as" else ""
    if target:
        words.pop()
    if len(words) != 1:
        raise template.TemplateSyntaxError(f"{{% {tag} %}} takes one argument, then “as name”.")
    return AssetNode(tag, make, parser.compile_filter(words[0]), target)


@register.tag
def docraptor_asset(parser: Parser, token: Token) -> AssetNode:
    """``{% docraptor_asset "shop/logo.png" %}``: a static file, for ``src`` and ``href``."""
    return _parse(parser, token, asset_url)


@register.tag
def docraptor_css(parser: Parser, token: Token) -> AssetNode:
    """``{% docraptor_css "shop/print.css" %}``: a stylesheet with its fonts and images."""
    return _parse(parser, token, stylesheet)


@register.tag
def docraptor_image(parser: Parser, token: Token) -> AssetNode:
    """``{% docraptor_image invoice.logo %}``: an image of a FileField, for ``src``."""
    return _parse(parser, token, image_url)
