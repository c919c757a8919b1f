"""Internal. ``{% load docraptor_pages %}``: what the templates of the customers' pages need."""

from django import template

from django_docraptor.static_urls import static_url

register = template.Library()


@register.simple_tag
def docraptor_static(name: str) -> str:
    """Return the URL of a static file of the package, also if it was not collected."""
    return static_url(name)
