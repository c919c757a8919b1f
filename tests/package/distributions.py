"""Build the wheel and the sdist, and check what is in them."""

import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "django_docraptor"
# Beside the package; PKG-INFO and .gitignore are hatchling's own.
SDIST_FILES = {
    "CHANGELOG.md",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
    ".gitignore",
}
RELATIVE_LINK = re.compile(r"\]\((?!https?:)[^)]*\)")
TIMEOUT = 300


class PackageError(Exception):
    """The distribution is not as it must be. The message is shown to the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distributions:
    """The files that a release uploads."""

    wheel: Path
    sdist: Path


def build(folder: Path) -> Distributions:
    """Build the sdist, and the wheel from the sdist.

    Raises:
        PackageError: The build fails, or a file is missing or does not belong there.
    """
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if done.returncode:
        raise PackageError(f"The build fails:\n{done.stdout}{done.stderr}")
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    check_sdist(sdist)
    check_wheel(wheel)
    return Distributions(wheel=wheel, sdist=sdist)


def tracked_files() -> set[str]:
    """Return the package's files in the repository.

    Raises:
        PackageError: This is not a checkout, so that nothing says which files belong to it.
    """
    command = ["git", "ls-files", PACKAGE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout:
        raise PackageError("A build needs a checkout: the list of the package's files is git's.")
    return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}


def compare(kind: str, found: set[str], expected: set[str]) -> None:
    """Compare the files of a distribution with those that belong there.

    Raises:
        PackageError: They differ.
    """
    if found != expected:
        missing, others = sorted(expected - found), sorted(found - expected)
        raise PackageError(f"The {kind} lacks {missing} and has {others} besides.")


def check_sdist(sdist: Path) -> None:
    """Check that the sdist has the package and its metadata, and neither tests nor docs."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    compare("sdist", names, tracked_files() | SDIST_FILES)


def check_wheel(wheel: Path) -> None:
    """Check that the wheel has every file of the package, and a README whose links work.

    Raises:
        PackageError: It has not.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    compare("wheel", names, tracked_files())
    if links := RELATIVE_LINK.findall(text):
        raise PackageError(f"The registry's page has links that lead nowhere: {links}")
