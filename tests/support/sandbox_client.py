"""A small client of DocRaptor's protocol, over real sockets."""

import time

import requests

AUTH = ("a-key", "")
HTML = "<p>Hello</p>"


class SandboxClient:
    """Calls the sandbox at `url` as an integrator would, with one key."""

    def __init__(self, url, auth=AUTH):
        self.url = url
        self.auth = auth
        self.session = requests.Session()
        self.session.trust_env = False

    def send(self, method, path, *, auth=..., timeout=10, **kwargs):
        """Send one request; a path or a whole URL."""
        url = path if path.startswith("http") else self.url + path
        auth = self.auth if auth is ... else auth
        kwargs.setdefault("allow_redirects", False)
        return self.session.request(method, url, auth=auth, timeout=timeout, **kwargs)

    def create(self, path="/async_docs", *, auth=..., timeout=10, **options):
        """Create a document, asynchronous unless the path says otherwise."""
        data = {"name": "a.pdf", "type": "pdf", "document_content": HTML} | options
        return self.send("POST", path, auth=auth, timeout=timeout, json=data)

    def status(self, status_id):
        """Ask for the status."""
        return self.send("GET", f"/status/{status_id}")

    def finish(self, status_id, seconds=5):
        """Poll until the document has ended, and return the status object."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.status(status_id).json()
            if status["status"] not in {"queued", "working"}:
                return status
            time.sleep(0.005)
        raise AssertionError(f"still {status}")

    def create_and_finish(self, **options):
        """Create an asynchronous document, wait for its end, and return the status object."""
        return self.finish(self.create(**options).json()["status_id"])

    def logs(self, **query):
        """Return a page of doc_logs.json."""
        return self.send("GET", "/doc_logs.json", params=query).json()


def wait_until(true, seconds=5):
    """Wait until `true()` holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
