"""Internal. ``{% load docraptor_admin %}``: what is wrong, on the pages of the admin."""

from typing import Any

from django import template

register = template.Library()


@register.inclusion_tag("admin/django_docraptor/health.html", takes_context=True)
def docraptor_health(context: template.Context, account: str = "") -> dict[str, Any]:
    """Show what is wrong with the queue and the engine to users who may view jobs.

    Args:
        context: the template's.
        account: of the job that is shown: the pauses of others do not concern it.
    """
    # Django's checks import all libraries of tags in every project: these would load the engine.
    from django_docraptor.health import health_report
    from django_docraptor.responses.permissions import has_permission

    request = context.get("request")
    if request is None or not has_permission(request, "django_docraptor.view_renderjob"):
        return {}
    report = health_report()
    restrictions = [
        restriction for restriction in report.restrictions if account in ("", restriction.account)
    ]
    return {"banner": report.banner(), "restrictions": restrictions}
