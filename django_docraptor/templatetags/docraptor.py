"""``{% load docraptor %}``: template tags for documents, and for the pages that lead to them.

In a document's template, they embed static files, stylesheets and images. On a page of the site,
they show how far a document is, and the latest documents of a user.
"""

from collections.abc import Callable
from typing import Any

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
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


# Django's checks import all libraries of tags in every project, so these tags import the engine
# when they are used.
_SCRIPT_KEY = "django_docraptor.progress_script"


@register.inclusion_tag("django_docraptor/progress.html", takes_context=True)
def document_progress(context: template.Context, job: Any) -> dict[str, Any]:
    """``{% document_progress job %}``: how far a document is, which a small script keeps current.

    Shows nothing to users who may not download the document, and nothing without a job.
    """
    from django.urls import reverse

    from django_docraptor.responses.permissions import may_download
    from django_docraptor.responses.progress import progress_of

    request = _request(context, "document_progress")
    if not job or not may_download(request, job):
        return {}
    progress = progress_of(request, job)
    return {
        "progress": progress,
        "message": f"{progress.heading}. {progress.message}".strip(),
        "status_url": reverse("django_docraptor:status", args=[job.pk]),
        "needs_script": bool(progress.refresh) and _is_first(context, _SCRIPT_KEY),
    }


@register.inclusion_tag("django_docraptor/my_documents_tag.html", takes_context=True)
def my_documents(context: template.Context, count: int = 5) -> dict[str, Any]:
    """``{% my_documents %}`` or ``{% my_documents 10 %}``: the user's latest documents."""
    from django_docraptor.responses.my_documents import PAGE_SIZE, read_page

    request = _request(context, "my_documents")
    if not request.user.is_authenticated:
        return {}
    size = min(PAGE_SIZE, max(1, int(count)))
    return {"documents": read_page(request, 1, size).documents}


def _request(context: template.Context, tag: str) -> HttpRequest:
    """Return the request of the page.

    Raises:
        ImproperlyConfigured: the template does not know it.
    """
    request: HttpRequest | None = context.get("request")
    if request is None or not hasattr(request, "user"):
        raise ImproperlyConfigured(
            f"{{% {tag} %}} asks who may see a document: render the page with a request, whose "
            "user is set by AuthenticationMiddleware, and add "
            "'django.template.context_processors.request' to the context_processors of TEMPLATES."
        )
    return request


def _is_first(context: template.Context, key: str) -> bool:
    """Return whether this is the first use of something on the page."""
    shared: dict[Any, Any] = context.render_context.dicts[0]
    is_first = key not in shared
    shared[key] = True
    return is_first
