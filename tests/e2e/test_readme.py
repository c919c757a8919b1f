"""The README, followed in a new project: what it says to paste works as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from django_docraptor.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
# The heading or paragraph before a block of Python, and the block.
BLOCK = re.compile(r"([^\n]*(?:\n[^\n]+)*)\n\n```python\n(.*?)```$", re.DOTALL | re.MULTILINE)
# What the README leaves to its reader.
MODELS = """
from django.db import models

class Invoice(models.Model):
    number = models.CharField(max_length=20)
    is_issued = models.BooleanField(default=False)
"""
ADMIN_IMPORTS = """
from django.contrib import admin
from shop.documents import InvoicePDF
from shop.models import Invoice
"""
SHELL = """
from shop.models import Invoice
from django_docraptor import enqueue
Invoice.objects.create(number="17", is_issued=True)
enqueue(name="hello.pdf", content="<h1>Hello</h1>")
"""


@pytest.fixture
def blocks() -> dict[str, str]:
    """The README's blocks of Python, by the first words of what stands before them."""
    found = BLOCK.findall((ROOT / "README.md").read_text())
    return {before.strip().partition(":")[0].strip("# "): code for before, code in found}


def run(site: Path, *arguments: str) -> str:
    """Run Python in the project; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=site,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def append(file: Path, text: str) -> None:
    """Add text at the end of a file."""
    file.write_text(f"{file.read_text()}\n{text}")


def test_readme_works_in_a_new_project(tmp_path: Path, blocks: dict[str, str]) -> None:
    """Its settings, URLs, document and admin generate a PDF on save; nothing needs a correction."""
    run(tmp_path, "-m", "django", "startproject", "mysite", ".")
    run(tmp_path, "manage.py", "startapp", "shop")
    shop, mysite = tmp_path / "shop", tmp_path / "mysite"
    on_save = blocks["Generate it whenever an issued invoice is saved, or from your own code"]
    with Sandbox() as sandbox:
        settings = blocks["At the end of `settings.py`"]
        assert "http://127.0.0.1:8001" in settings
        append(mysite / "settings.py", settings.replace("http://127.0.0.1:8001", sandbox.url))
        append(mysite / "settings.py", 'INSTALLED_APPS += ["shop"]\n')
        append(mysite / "urls.py", blocks["At the end of `urls.py`"])
        (shop / "models.py").write_text(MODELS)
        (shop / "templates" / "shop").mkdir(parents=True)
        (shop / "templates" / "shop" / "invoice.html").write_text("<h1>{{ source.number }}</h1>")
        document = next(code for before, code in blocks.items() if "`documents.py`" in before)
        (shop / "documents.py").write_text(f"{document}\n\n{on_save.splitlines()[0]}\n")
        (shop / "admin.py").write_text(
            ADMIN_IMPORTS + next(code for code in blocks.values() if "DocumentAdminMixin" in code)
        )
        receiver = blocks["Use the finished file"]
        append(shop / "documents.py", receiver)

        assert "no issues" in run(tmp_path, "manage.py", "check")
        run(tmp_path, "manage.py", "makemigrations", "shop")
        run(tmp_path, "manage.py", "migrate")
        run(tmp_path, "manage.py", "shell", "-c", SHELL)
        printed = run(tmp_path, "manage.py", "docraptor_tick", "--until-idle")
        assert printed.count(": completed") == 2, printed
        names = sorted(entry.name for entry in sandbox.ledger.accepted())
    assert names == ["hello.pdf", "invoice-17.pdf"]
    assert len(list((tmp_path / "documents").rglob("*.pdf"))) == 2


def test_celery_settings_of_the_readme_are_complete(blocks: dict[str, str]) -> None:
    """They send the tick, and stop waiting for a broker that does not respond."""
    settings: dict[str, object] = {}
    (code,) = [code for code in blocks.values() if "CELERY_BROKER_URL" in code]
    exec(code, settings)
    assert "django_docraptor.tick" in str(settings["CELERY_BEAT_SCHEDULE"])
    assert "socket_timeout" in str(settings["CELERY_BROKER_TRANSPORT_OPTIONS"])
