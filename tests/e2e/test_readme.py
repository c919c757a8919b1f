"""The README, followed in a new project: what it says to paste works as it stands."""

import re
import shlex
from pathlib import Path

import pytest

from django_docraptor.sandbox import Sandbox
from tests.support.new_project import ROOT, NewProject

# The heading or paragraph before a block of Python, and the block.
BLOCK = re.compile(r"([^\n]*(?:\n[^\n]+)*)\n\n```python\n(.*?)```$", re.DOTALL | re.MULTILINE)
# What is typed, and what must be in the settings, until there is a PDF.
MAX_COMMANDS = 10
MAX_SETTINGS = 12
MODELS = "In `shop/models.py`, or use a model of your own"
# What the README leaves to its reader.
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


@pytest.mark.once
def test_readme_works_in_a_new_project(tmp_path: Path, blocks: dict[str, str]) -> None:
    """Its settings, URLs, document and admin generate a PDF on save; nothing needs a correction."""
    project = NewProject(tmp_path)
    on_save = blocks["Generate it whenever an issued invoice is saved, or from your own code"]
    with Sandbox() as sandbox:
        settings = blocks["At the end of `settings.py`"]
        assert "http://127.0.0.1:8001" in settings
        settings = settings.replace("http://127.0.0.1:8001", sandbox.url)
        project.append("mysite/settings.py", settings)
        project.append("mysite/urls.py", blocks["At the end of `urls.py`"])
        project.write("shop/models.py", blocks[MODELS])
        project.write("shop/templates/shop/invoice.html", "<h1>{{ source.number }}</h1>")
        document = next(code for before, code in blocks.items() if "`documents.py`" in before)
        receiver = blocks["Use the finished file"]
        project.write("shop/documents.py", f"{document}\n\n{on_save.splitlines()[0]}\n{receiver}")
        admin = next(code for code in blocks.values() if "DocumentAdminMixin" in code)
        project.write("shop/admin.py", ADMIN_IMPORTS + admin)

        assert "no issues" in project.manage("check")
        project.manage("makemigrations", "shop")
        project.manage("migrate")
        project.manage("shell", "-c", SHELL)
        printed = project.manage("docraptor_tick", "--until-idle")
        assert printed.count(": completed") == 2, printed
        names = sorted(entry.name for entry in sandbox.ledger.accepted())
    assert names == ["hello.pdf", "invoice-17.pdf"]
    assert len(list((tmp_path / "documents").rglob("*.pdf"))) == 2


def commands(*sections: str) -> list[list[str]]:
    """Return the commands of the README's sections, and the sandbox's in its text."""
    text = (ROOT / "README.md").read_text()
    found = []
    for section in sections:
        part = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        found += re.findall(r"^\$ (.*)$|`(python -m [^`]*)`", part, re.MULTILINE)
    return [shlex.split(one or other, comments=True) for one, other in found]


def test_readme_reaches_a_pdf_in_a_few_steps(tmp_path: Path, blocks: dict[str, str]) -> None:
    """Pasted blocks and the commands as they stand make a PDF; both are counted."""
    settings = blocks["At the end of `settings.py`"]
    lines = [line for line in settings.splitlines() if line.strip() and line.strip()[0] != "#"]
    typed = commands("Install", "Your first PDF")
    assert len(lines) <= MAX_SETTINGS
    assert len(typed) <= MAX_COMMANDS
    assert typed[0][:2] == ["pip", "install"]
    assert ["python", "-m", "django_docraptor.sandbox", "--port", "8001"] in typed
    start, app, *manage = [words for words in typed[1:] if "-m" not in words]
    assert start == ["django-admin", "startproject", "mysite", "."]
    assert app == ["python", "manage.py", "startapp", "shop"]

    project = NewProject(tmp_path)
    with Sandbox(port=0) as sandbox:
        settings = settings.replace("http://127.0.0.1:8001", sandbox.url)
        project.append("mysite/settings.py", settings)
        project.append("mysite/urls.py", blocks["At the end of `urls.py`"])
        project.write("shop/models.py", blocks[MODELS])
        for python, *arguments in manage:
            assert python == "python"
            printed = project.run(*arguments)
    (file,) = tmp_path.glob("*.pdf")
    assert file.name in printed
    assert file.read_bytes().startswith(b"%PDF")


def test_celery_settings_of_the_readme_are_complete(blocks: dict[str, str]) -> None:
    """They send the tick, and stop waiting for a broker that does not respond."""
    settings: dict[str, object] = {}
    (code,) = [code for code in blocks.values() if "CELERY_BROKER_URL" in code]
    exec(code, settings)
    assert "django_docraptor.tick" in str(settings["CELERY_BEAT_SCHEDULE"])
    assert "socket_timeout" in str(settings["CELERY_BROKER_TRANSPORT_OPTIONS"])
