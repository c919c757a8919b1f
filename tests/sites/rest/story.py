"""One invoice as a PDF: by two APIs, by a page, and by a browser's JavaScript."""

import re
import shutil
import subprocess
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

from billing.documents import InvoicePDF
from billing.models import Invoice
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test import Client
from rest_framework.authtoken.models import Token
from steps import assert_downloads, assert_pdf, client_of, completed_job, run_engine, user

from django_docraptor.models import RenderJob

SCRIPT = """
const {fetchDocument} = await import(process.argv[1]);
const response = await fetchDocument(process.argv[2], {Authorization: process.argv[3]});
const bytes = new Uint8Array(await response.arrayBuffer());
console.log(response.status, new TextDecoder().decode(bytes.slice(0, 5)));
"""


def use_api(url: str, scheme: str, ada, bob) -> None:  # type: ignore[no-untyped-def]
    """Ask until the file is there. Another user, and one without a token, get nothing."""

    def get(person):  # type: ignore[no-untyped-def]
        token, _ = Token.objects.get_or_create(user=person)
        return Client().get(url, headers={"Authorization": f"{scheme} {token.key}"})

    assert Client().get(url).status_code == 401
    assert get(bob).status_code == 404
    first = get(ada)
    assert first.status_code == 202, first.status_code
    assert int(first["Retry-After"]) >= 1
    run_engine()
    assert_pdf(get(ada))
    assert get(bob).status_code == 404


def use_status(base: str, scheme: str, invoice, ada, bob) -> None:  # type: ignore[no-untyped-def]
    """Follow a job by its state, and get its file; others, or no token, get neither."""
    job = InvoicePDF.enqueue(invoice, owner=ada)
    url = f"{base}{job.pk}/"

    def call(person, method="get", path=url):  # type: ignore[no-untyped-def]
        token, _ = Token.objects.get_or_create(user=person)
        client = Client(enforce_csrf_checks=True)
        return getattr(client, method)(path, headers={"Authorization": f"{scheme} {token.key}"})

    first = call(ada)
    state = first.json()
    assert (first.status_code, state["state"], state["download_url"]) == (202, "pending", None)
    assert int(first["Retry-After"]) >= 1
    assert call(ada, "post").status_code == 202
    for method, path in (("get", url), ("post", url), ("get", f"{url}file/")):
        assert call(bob, method, path).status_code == 404, (method, path)
        assert getattr(Client(), method)(path).status_code == 401, (method, path)
    run_engine()
    state = call(ada).json()
    assert state["state"] == "completed", state
    assert state["download_url"].endswith(f"{url}file/"), state
    assert_pdf(call(ada, path=state["download_url"]))


def use_page(invoice, ada, bob) -> None:  # type: ignore[no-untyped-def]
    """A button, its progress, and a link to the document."""
    url = f"/invoices/{invoice.pk}/pdf/"
    assert client_of(bob).post(url).status_code == 404
    assert Client().post(url).status_code == 302
    client = client_of(ada)
    text = client.post(url).content.decode()
    assert "Generating" in text
    (address,) = re.findall(r'hx-get="(\S+)"', text)
    assert client.post(url).content.decode() == text, "A second click has enqueued another job."
    job = completed_job(idempotency_key=f"invoice-{invoice.pk}")
    (link,) = re.findall(r'<a href="(\S+)"', client.get(address).content.decode())
    assert_pdf(client.get(link))
    assert client_of(bob).get(address).status_code == 404
    assert_downloads(job, owner=ada, other=bob)


class Quiet(WSGIRequestHandler):
    """A handler that logs nothing."""

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def use_javascript(invoice, ada) -> str:  # type: ignore[no-untyped-def]
    """Run the function with node against a web server and an engine that run."""
    node = shutil.which("node")
    if not node:
        return "JavaScript not run: there is no node"
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
    url = f"http://127.0.0.1:{server.server_port}/api/invoices/{invoice.pk}/pdf/"
    options = {"loop": True, "interval": 0.2, "timeout": 60, "verbosity": 0}
    engine = threading.Thread(target=run_loop, kwargs=options, daemon=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    engine.start()
    module = settings.BASE_DIR / "billing/static/billing/document.mjs"
    token = f"Token {Token.objects.get(user=ada).key}"
    command = [node, "--input-type=module", "-e", SCRIPT, "--", str(module), url, token]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    server.shutdown()
    assert done.stdout == "200 %PDF-\n", done.stdout + done.stderr
    return "JavaScript"


def run_loop(**options: object) -> None:
    """Run the engine until its time is over, which is no error here."""
    try:
        call_command("docraptor_tick", **options)
    except SystemExit:
        return


def main() -> None:
    """Run the story of each client."""
    ada, bob = user("ada"), user("bob")
    invoices = [
        Invoice.objects.create(number=f"A-{number}", customer=ada, total="45.00", is_issued=True)
        for number in range(6)
    ]
    use_api(f"/api/invoices/{invoices[0].pk}/pdf/", "Token", ada, bob)
    use_api(f"/ninja/invoices/{invoices[1].pk}/pdf/", "Bearer", ada, bob)
    use_page(invoices[2], ada, bob)
    javascript = use_javascript(invoices[3], ada)
    use_status("/api/documents/", "Token", invoices[4], ada, bob)
    use_status("/ninja/documents/", "Bearer", invoices[5], ada, bob)
    assert RenderJob.objects.count() == 6
    print(f"Django REST framework, django-ninja, htmx, {javascript}")
