"""Read API key and options from a request.

Knows Basic authentication and DocRaptor's two body formats. No logic here.
"""

import json
from datetime import UTC, datetime

from werkzeug.wrappers import Request

from django_docraptor.sandbox.ledger import ApiCall
from django_docraptor.sandbox.options import Options, options_from_form, options_from_json
from django_docraptor.sandbox.responses import ApiError

# These may contain the API key, and a failing test may print recorded calls.
SECRET_HEADERS = {"authorization", "cookie"}
SECRET_PARAMETER = "user_credentials"  # noqa: S105


def get_api_key(request: Request) -> str:
    """Return the API key from Basic authentication or the query; empty if there is none."""
    if request.authorization is not None and request.authorization.username:
        return request.authorization.username
    return request.args.get(SECRET_PARAMETER, "")


def parse_options(request: Request) -> Options:
    """Return the options of a create call, from a JSON or form body.

    Raises:
        ApiError: 400 for any other body.
    """
    if "form" in (request.mimetype or ""):
        return options_from_form(request.form)
    try:
        data = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "The request body is not JSON") from error
    if not isinstance(data, dict):
        raise ApiError(400, "The request body is not a JSON object")
    return options_from_json(data)


def to_api_call(request: Request) -> ApiCall:
    """Return the request as it is recorded, without credentials."""
    headers = {name: value for name, value in request.headers if name.lower() not in SECRET_HEADERS}
    has_secret = SECRET_PARAMETER in request.args
    return ApiCall(
        method=request.method,
        path=request.path,
        query="" if has_secret else request.query_string.decode("latin-1"),
        time=datetime.now(UTC),
        headers=headers,
    )
