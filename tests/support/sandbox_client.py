"""A client of DocRaptor's API for tests of the sandbox, over real sockets."""

import io
import time

import pypdf
import requests

from tests.support import processes

AUTH = ("a-key", "")
HTML = "<p>Hello</p>"


class SandboxClient:
    """Calls the sandbox at `url` like an application, with one API key."""

    def __init__(self, url, auth=AUTH):
        self.url = url
        self.auth = auth
        self.session = requests.Session()
        self.session.trust_env = False

    def send(self, method, path, *, auth=..., timeout=10, **kwargs):
        """Send one request to a path of the sandbox, or to a whole URL."""
        url = path if path.startswith("http") else self.url + path
        auth = self.auth if auth is ... else auth
        kwargs.setdefault("allow_redirects", False)
        return self.session.request(method, url, auth=auth, timeout=timeout, **kwargs)

    def create(self, path="/async_docs", *, auth=..., timeout=10, **options):
        """Send a create call, asynchronous by default."""
        data = {"name": "a.pdf", "type": "pdf", "document_content": HTML} | options
        return self.send("POST", path, auth=auth, timeout=timeout, json=data)

    def status(self, status_id):
        """Send a status call."""
        return self.send("GET", f"/status/{status_id}")

    def finish(self, status_id, seconds=60):
        """Poll until the document has finished, and return its status data."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.status(status_id).json()
            if status["status"] not in {"queued", "working"}:
                return status
            time.sleep(0.005)
        raise AssertionError(f"unfinished: {status}")

    def create_and_finish(self, **options):
        """Create an asynchronous document, and return its status data once it has finished."""
        return self.finish(self.create(**options).json()["status_id"])

    def logs(self, **query):
        """Return a page of doc_logs.json."""
        return self.send("GET", "/doc_logs.json", params=query).json()


def pdf_text(content):
    """Return the text of a PDF."""
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)


def wait_until(condition, seconds=60):
    """Wait until `condition()` is true."""
    processes.wait_until("the condition", condition, seconds, 0.005)
