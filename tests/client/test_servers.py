"""How errors name the server of a call, and what they advise."""

import pytest

from django_docraptor.client.servers import is_loopback, sandbox_hint, server_of


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://api.docraptor.com/docs?key=secret", "https://api.docraptor.com"),
        ("http://user:secret@proxy.example:3128/", "http://proxy.example:3128"),
        ("http://user:a@secret@proxy.example/", "http://proxy.example"),
        ("http://[::1/", "an invalid URL"),
        ("api.docraptor.com", "an invalid URL"),
        ("file:///secret", "an invalid URL"),
    ],
)
def test_server_is_named_without_secrets(url, server):
    """Scheme, host and port are told; a password, a path and a query are not."""
    assert server_of(url) == server


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000/", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:8000", True),
        ("http://docs.localhost", True),
        ("http://localhost.example", False),
        ("http://[::1", False),
        ("/docs", False),
    ],
)
def test_url_of_this_machine_is_known(url, expected):
    """The names and addresses of this machine, and what ends with .localhost."""
    assert is_loopback(url) is expected


@pytest.mark.parametrize(("url", "port"), [("http://localhost:8345", 8345), ("http://[::1]", 80)])
def test_hint_starts_the_sandbox_at_the_port(url, port):
    """The command of the hint listens where the call was refused."""
    assert sandbox_hint(url) == (
        f"Is the sandbox running? Start it: python -m django_docraptor.sandbox --port {port}. "
        "To use DocRaptor itself, remove DOCRAPTOR['BASE_URL']."
    )
