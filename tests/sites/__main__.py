"""Lay the files of a site over the installed package, and run its story.

Each site gets a virtual environment, the wheel, its own requirements and a running sandbox.
"""

import argparse
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.package.distributions import PackageError, build
from tests.package.environments import Environment, constraints_without_django

FOLDER = Path(__file__).parent
NAMES = sorted(file.parent.name for file in FOLDER.glob("*/requirements.txt"))
STORY = "import django; django.setup(); import story; story.main()"


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="make sites", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SITE", help=f"{', '.join(NAMES)} (all)")
    parser.add_argument("--latest", action="store_true", help="the latest versions, not the pins")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in NAMES:
            parser.error(f"{name!r} is not one of {', '.join(NAMES)}")
    return arguments


def requirements(name: str, *, latest: bool) -> list[str]:
    """Return what a site requires, with or without its pins."""
    lines = (FOLDER / name / "requirements.txt").read_text().splitlines()
    if not latest:
        return lines
    return sorted({re.split("[=;]", line)[0].strip() for line in lines})


def lay_out(name: str, folder: Path) -> None:
    """Copy the files of every site, and those of this one over them."""
    for source in ("common", name):
        shutil.copytree(FOLDER / source, folder, dirs_exist_ok=True)


def run_site(name: str, wheel: Path, folder: Path, *, latest: bool) -> str:
    """Install and migrate a site and run its story; return its last line.

    Raises:
        PackageError: A step fails.
    """
    folder.mkdir()
    pins = [] if latest else [constraints_without_django(folder), FOLDER / "constraints.txt"]
    environment = Environment(folder / "venv", sys.executable, *pins)
    environment.install(f"{wheel}[sandbox]", *requirements(name, latest=latest))
    site = folder / "site"
    lay_out(name, site)
    environment.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    environment.run("manage.py", "check", cwd=site)
    environment.run("manage.py", "migrate", "--run-syncdb", "--verbosity=0", cwd=site)
    sandbox = ("-m", "django_docraptor.sandbox", "--port", "0")
    with environment.running(*sandbox, cwd=site) as line:
        environment.environment["SANDBOX_URL"] = line.rpartition(" ")[2]
        return environment.run("-c", STORY, cwd=site).strip().splitlines()[-1]


def main() -> int:
    """Run the sites, and report; return the exit status."""
    arguments = parse_arguments()
    names = arguments.names or NAMES
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            wheel = build(folder / "dist").wheel
        except PackageError as error:
            print(error)
            return 1
        for name in names:
            start = time.monotonic()
            try:
                result = run_site(name, wheel, folder / name, latest=arguments.latest)
                result = f"ok      {name}: {result}"
            except PackageError as error:
                failed += 1
                result = f"FAILED  {name}: {error}"
            print(f"{result} ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
