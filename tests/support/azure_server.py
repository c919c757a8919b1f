"""A stand-in for Azure's blob storage: the part of its protocol that a storage uses."""

import datetime as dt
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from werkzeug.http import http_date
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

ACCOUNT: Final = "documents"
# An account key is in Base64.
KEY: Final = "YS1rZXk="


class BlobServer:
    """Blobs in memory, by their whole names.

    A request needs the account's key or a signed URL, as in a private container. Signatures are not
    verified: the client that makes them is Azure's own.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.types: dict[str, str] = {}

    def answer(self, request: Request) -> Response:
        """Answer one request about one blob."""
        if "Authorization" not in request.headers and "sig" not in request.args:
            return _refusal(HTTPStatus.NOT_FOUND, "ResourceNotFound")
        name = request.path.removeprefix(f"/{ACCOUNT}/")
        if request.method == "PUT":
            return self._put(request, name)
        if name not in self.blobs:
            return _refusal(HTTPStatus.NOT_FOUND, "BlobNotFound")
        if request.method == "DELETE":
            del self.blobs[name]
            return Response(status=HTTPStatus.ACCEPTED)
        return self._get(request, name)

    def _put(self, request: Request, name: str) -> Response:
        if request.headers.get("If-None-Match") == "*" and name in self.blobs:
            return _refusal(HTTPStatus.CONFLICT, "BlobAlreadyExists")
        self.blobs[name] = request.get_data()
        self.types[name] = request.headers.get("x-ms-blob-content-type", "")
        headers = {"x-ms-request-server-encrypted": "true"} | _versions()
        return Response(status=HTTPStatus.CREATED, headers=headers)

    def _get(self, request: Request, name: str) -> Response:
        data, headers = self.blobs[name], {"x-ms-blob-type": "BlockBlob"} | _versions()
        response = Response(data, headers=headers, content_type=self.types[name])
        if disposition := request.args.get("rscd"):
            response.headers["Content-Disposition"] = disposition
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("x-ms-range", "")):
            start = int(match[1])
            part = data[start : int(match[2]) + 1 if match[2] else None]
            response.data, response.status_code = part, HTTPStatus.PARTIAL_CONTENT
            end = start + len(part) - 1
            response.headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        return response


def _versions() -> dict[str, str]:
    return {"ETag": '"1"', "Last-Modified": http_date(dt.datetime.now(dt.UTC))}


def _refusal(status: HTTPStatus, code: str) -> Response:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    headers = {"x-ms-error-code": code}
    return Response(text, status=status, headers=headers, content_type="application/xml")


@contextmanager
def running_blob_server() -> Iterator[tuple[BlobServer, str]]:
    """Run a server on a free port.

    Yields:
        The server and the connection string of its account.
    """
    blobs = BlobServer()
    server = make_server("127.0.0.1", 0, Request.application(blobs.answer), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}/{ACCOUNT}"
    parts = {"AccountName": ACCOUNT, "AccountKey": KEY, "BlobEndpoint": endpoint}
    try:
        yield blobs, ";".join(f"{name}={value}" for name, value in parts.items())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
