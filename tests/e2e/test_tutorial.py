"""The tutorial, done step by step as its reader would: its code blocks, its commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

from django_docraptor.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-document.md"
# A block of code, and the file that the line before it names.
BLOCK = re.compile(r"`([\w/.]+\.(?:py|html))`:\n\n```(?:python|html)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)$", re.MULTILINE)


def run(site: Path, *command: str) -> str:
    """Run a command in the site; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        command, cwd=site, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def write_files(site: Path, port: int) -> list[str]:
    """Put the tutorial's blocks into their files."""
    blocks = BLOCK.findall(TUTORIAL.read_text())
    for name, code in blocks:
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_text() if name.endswith("settings.py") else ""
        file.write_text(before + code.replace("127.0.0.1:8001", f"127.0.0.1:{port}"))
    return [name for name, _ in blocks]


def test_tutorial(tmp_path: Path) -> None:
    """A new site that follows the tutorial has a PDF in its private directory."""
    python = sys.executable
    run(tmp_path, python, "-m", "django", "startproject", "mysite", ".")
    run(tmp_path, python, "manage.py", "startapp", "shop")
    with Sandbox() as sandbox:
        names = write_files(tmp_path, int(sandbox.url.rpartition(":")[2]))
        assert {"mysite/settings.py", "mysite/urls.py", "shop/models.py"} <= set(names)
        assert "no issues" in run(tmp_path, python, "manage.py", "check")
        run(tmp_path, python, "manage.py", "makemigrations", "shop")
        run(tmp_path, python, "manage.py", "migrate")
        (create,) = (line for line in COMMAND.findall(TUTORIAL.read_text()) if "shell -c" in line)
        code = create.partition('"')[2].rpartition('"')[0]
        run(tmp_path, python, "manage.py", "shell", "-c", code)
        run(tmp_path, python, "manage.py", "docraptor_tick", "--until-idle", "--timeout", "60")
        assert [entry.name for entry in sandbox.ledger.accepted()] == ["invoice-A-1.pdf"]
    (pdf,) = (tmp_path / "documents").rglob("*.pdf")
    assert pdf.read_bytes().startswith(b"%PDF-")
