"""Following the tutorial page by page builds the example project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from django_docraptor.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial"
EXAMPLE = ROOT / "example_project"
PAGES = ("first-document", "on-save", "admin", "customers", "email", "assets", "celery")
# A fence, and the paragraph or the heading before it.
STEP = re.compile(r"([^\n]*(?:\n[^\n]+)*)\n\n```([\w+]+)\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`((?:mysite|shop)/[\w/.]+)`")
# Commands that end by themselves; the others run in another terminal.
RUN = ("check", "makemigrations", "migrate", "docraptor_preflight", "startapp", "test")
SHELL = "In `python manage.py shell`"
CUSTOMER = """
from django.test import Client
client = Client(SERVER_NAME="127.0.0.1")
assert client.login(username="ines", password="paper and ink")
page = client.get("/").content.decode()
assert page.count(">Download<") == 1, page
answer = client.get("/invoices/1/pdf/")
assert answer["Content-Type"] == "application/pdf", answer
assert client.get("/invoices/1/pdf/?as=html").status_code == 403
assert "invoice-A-1.pdf" in client.get("/docraptor/documents/").content.decode()
assert client.get("/invoices/1/share/").status_code == 405
page = client.post("/invoices/1/share/").content.decode()
shared = page.partition('<a href="http://127.0.0.1')[2].partition('"')[0]
reader = Client(SERVER_NAME="127.0.0.1")
assert reader.get(shared + "?download")["Content-Type"] == "application/pdf"
assert reader.post("/invoices/1/share/").status_code == 302
assert client.login(username="ada", password="secret")
assert "<h1>Invoice A-1</h1>" in client.get("/invoices/1/pdf/?as=html").content.decode()
"""
ADMIN = """
from django.test import Client
client = Client(SERVER_NAME="127.0.0.1")
assert client.login(username="ada", password="secret")
page = client.get("/admin/shop/invoice/").content.decode()
assert "Generate Invoice Report from selected invoices" in page, page
answer = client.post("/admin/shop/invoice/1/documents/shop.Reminder/",
    {"_form_token": "one", "document-pay_by": "2026-03-01"}, follow=True)
assert "reminder-A-1.pdf" in answer.content.decode()
client.post("/admin/shop/invoice/", {"action": "docraptor_shop_InvoiceReport",
    "_selected_action": ["1"], "_form_token": "two", "document-document_type": "xlsx"})
"""


class Reader:
    """Follows the tutorial's pages in a directory."""

    def __init__(self, site: Path, sandbox: Sandbox) -> None:
        self.site = site
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DOCRAPTOR_BASE_URL": sandbox.url,
            "DJANGO_SUPERUSER_PASSWORD": "secret",
        }
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)

    def run(self, *command: str) -> str:
        """Run a Python command; return its output."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.site,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def shell(self, code: str) -> str:
        """Run code in ``manage.py shell``."""
        return self.run("manage.py", "shell", "-c", code)

    def follow(self, page: str) -> str:
        """Follow a page from top to bottom; return the output of its commands."""
        steps = STEP.findall((TUTORIAL / f"{page}.md").read_text())
        assert steps
        return "".join(self.step(before, kind, text) for before, kind, text in steps)

    def step(self, before: str, kind: str, text: str) -> str:
        """Follow one step."""
        if kind == "console":
            return "".join(self.command(line) for line in re.findall(r"^\$ (.*)$", text, re.M))
        if SHELL in before:
            return self.shell(text)
        (name,) = FILE.findall(before)
        file = self.site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if kind == "diff":
            file.write_text(apply_diff(file.read_text(), text))
        elif "At the end of" in before or "at the end of" in before:
            separator = "\n" if name.endswith("settings.py") else "\n\n"
            joined = file.read_text() + separator + text.lstrip("\n") + "\n"
            file.write_text(joined)
        else:
            assert file.exists() == ("Replace" in before), before
            file.write_text(text + "\n")
        return ""

    def command(self, line: str) -> str:
        """Run a command that ends by itself."""
        words = shlex.split(line, comments=True)
        if words[0] == "cp":
            shutil.copytree(EXAMPLE / "shop" / "static", self.site / "shop" / "static")
        if words[:2] == ["django-admin", "startproject"]:
            return self.run("-m", "django", *words[1:])
        if words[:2] != ["python", "manage.py"]:
            return ""
        if words[2] == "createsuperuser":
            return self.run(*words[1:], "--noinput")
        if words[2] in RUN or "--until-idle" in words:
            return self.run(*words[1:])
        return ""


def apply_diff(text: str, diff: str) -> str:
    """Return the text after a change; the old lines must occur once."""
    lines = diff.splitlines()
    assert all(line[:1] in " +-" for line in lines), diff
    old, new = (
        "".join(f"{line[1:]}\n" for line in lines if line[:1] != other) for other in ("+", "-")
    )
    assert text.count(old) == 1, f"not once in the file:\n{old}"
    return text.replace(old, new)


def site_files(site: Path) -> dict[str, str]:
    """Return the Python files and templates that a reader writes, by name."""
    paths = [*site.glob("*.py"), *site.glob("mysite/*.py"), *site.glob("shop/*.py")]
    paths += [path for path in site.glob("shop/templates/**/*") if path.is_file()]
    return {str(path.relative_to(site)): path.read_text() for path in paths}


@pytest.mark.once
def test_tutorial_builds_the_example_project(tmp_path: Path) -> None:
    """Each page has a visible result, and the final files are those of the example project."""
    with Sandbox() as sandbox:
        reader = Reader(tmp_path, sandbox)
        printed = reader.follow("first-document")
        assert "no issues" in printed
        assert len(list((tmp_path / "documents").rglob("*.pdf"))) == 1

        assert "Ran 1 test" in reader.follow("on-save")
        assert len(list((tmp_path / "media").rglob("*.pdf"))) == 1

        assert "no issues" in reader.follow("admin")
        reader.shell(ADMIN)
        reader.run("manage.py", "docraptor_tick", "--until-idle")

        assert "no issues" in reader.follow("customers")
        reader.shell(CUSTOMER)

        printed = reader.follow("email")
        assert "To: ines@customers.example" in printed
        assert "http://127.0.0.1:8000/docraptor/" in printed

        assert "2 documents checked: no problems found." in reader.follow("assets")
        assert "no issues" in reader.follow("celery")
        # Jobs that wait together are sent at once, in any order. A second document of the unchanged
        # invoice A-1 is not made.
        assert sorted(entry.name for entry in sandbox.ledger.accepted()) == [
            "invoice-A-1.pdf",
            "invoice-A-2.pdf",
            "invoices.xlsx",
            "reminder-A-1.pdf",
        ]
    built, wanted = site_files(tmp_path), site_files(EXAMPLE)
    del wanted["__init__.py"]  # for make demo
    assert {name: built.get(name) for name in wanted} == wanted
    # Files that startproject and startapp created besides.
    assert sorted(set(built) - set(wanted)) == [
        "mysite/asgi.py",
        "mysite/wsgi.py",
        "shop/apps.py",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_ends_with_a_result(page: str) -> None:
    """Each page says how to check its result."""
    assert "**Check the result:**" in (TUTORIAL / f"{page}.md").read_text()


def test_invoice_on_save_needs_15_lines() -> None:
    """Beside the model and the template, the class and the trigger need 15 lines."""
    text = (TUTORIAL / "on-save.md").read_text()
    code = text.partition("Replace `shop/documents.py`:\n\n```python\n")[2].partition("\n```")[0]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) == 15
