"""What is read from a request: the key, the options, and the line for the record.

Knows Basic auth and DocRaptor's two kinds of bodies; decides nothing.
"""

import json
from datetime import UTC, datetime

from werkzeug.wrappers import Request

from django_docraptor.sandbox.ledger import ApiCall
from django_docraptor.sandbox.options import Options, from_form, from_json
from django_docraptor.sandbox.responses import RefusalError

# A key can travel in these; what is recorded may be printed by a failing test.
SECRET_HEADERS = {"authorization", "cookie"}
SECRET_PARAMETER = "user_credentials"  # noqa: S105


def key_of(request: Request) -> str:
    """Return the API key, from Basic auth or from the query; empty if there is none."""
    if request.authorization is not None and request.authorization.username:
        return request.authorization.username
    return request.args.get(SECRET_PARAMETER, "")


def options_of(request: Request) -> Options:
    """Return the options of a create, from JSON or a form; refuse any other body with 400."""
    if "form" in (request.mimetype or ""):
        return from_form(request.form)
    try:
        data = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise RefusalError(400, "The request body is not JSON") from error
    if not isinstance(data, dict):
        raise RefusalError(400, "The request body is not a JSON object")
    return from_json(data)


def recorded(request: Request) -> ApiCall:
    """Return the request as it is remembered, without credentials."""
    headers = {name: value for name, value in request.headers if name.lower() not in SECRET_HEADERS}
    secret = SECRET_PARAMETER in request.args
    return ApiCall(
        method=request.method,
        path=request.path,
        query="" if secret else request.query_string.decode("latin-1"),
        user_agent=request.headers.get("User-Agent", ""),
        time=datetime.now(UTC),
        headers=headers,
        body_size=len(request.get_data(cache=True)),
    )
