"""``{% load docraptor %}``: template tags that embed static files, stylesheets and images."""

from collections.abc import Callable
from typing import Any

from django import template
from django.template.base import FilterExpression, Parser, Token
from django.utils.html import conditional_escape

from django_docraptor.assets import AssetError, Budget, asset_url, image_url, stylesheet_html

register = template.Library()

AssetFunction = Callable[[Any, Budget], str]
_BUDGET_KEY = "django_docraptor.budget"


class AssetNode(template.Node):
    """A tag with one argument and an optional ``as name``."""

    def __init__(
        self, tag: str, function: AssetFunction, argument: FilterExpression, target: str
    ) -> None:
        """Store the parsed tag; ``target`` is the name after ``as``, or blank."""
        self.tag = tag
        self.function = function
        self.argument = argument
        self.target = target

    def render(self, context: template.Context) -> str:
        """Return the asset's URL or markup.

        Raises:
            AssetError: the asset cannot be used; the message has the tag's location.
        """
        try:
            value = self.function(self.argument.resolve(context), _budget(context))
        except AssetError as error:
            line = self.token.lineno if self.token else 0
            tag_source = f"{self.tag} {self.argument.token}"
            raise error.with_location(tag_source, self._template(), line or 0) from error
        if self.target:
            context[self.target] = value
            return ""
        return conditional_escape(value) if context.autoescape else value

    def _template(self) -> str:
        return str(getattr(self.origin, "template_name", None) or "a template")


def _budget(context: template.Context) -> Budget:
    """Return the budget of this render.

    Included templates share it through the bottom dict of the render context.
    """
    shared: dict[Any, Any] = context.render_context.dicts[0]
    budget: Budget = shared.setdefault(_BUDGET_KEY, Budget())
    return budget


def _parse(parser: Parser, token: Token, function: AssetFunction) -> AssetNode:
    tag, *arguments = token.split_contents()
    target = arguments.pop() if len(arguments) == 3 and arguments[1] == "as" else ""
    if target:
        arguments.pop()
    if len(arguments) != 1:
        raise template.TemplateSyntaxError(
            f"{{% {tag} %}} takes one argument, optionally followed by 'as name'."
        )
    return AssetNode(tag, function, parser.compile_filter(arguments[0]), target)


@register.tag
def docraptor_asset(parser: Parser, token: Token) -> AssetNode:
    """``{% docraptor_asset "shop/logo.png" %}``: a static file for ``src`` or ``href``."""
    return _parse(parser, token, asset_url)


@register.tag
def docraptor_css(parser: Parser, token: Token) -> AssetNode:
    """``{% docraptor_css "shop/print.css" %}``: a stylesheet with its fonts and images."""
    return _parse(parser, token, stylesheet_html)


@register.tag
def docraptor_image(parser: Parser, token: Token) -> AssetNode:
    """``{% docraptor_image invoice.logo %}``: an image of a FileField for ``src``."""
    return _parse(parser, token, image_url)
