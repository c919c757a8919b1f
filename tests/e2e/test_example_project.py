"""The example project: its commands, documents and pages."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from email import message_from_string, policy
from pathlib import Path

import openpyxl
import pypdf
import pytest
import requests
from django.utils import timezone

from django_docraptor.preflight import find_problems

# Other versions of Python and Django try the README's site.
pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "example_project"
# The maximum number of non-blank lines of the whole site.
MAX_LINES = 260
# The only variables that commands inherit, so that a developer's settings do not choose services.
KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
ROW = re.compile(r"((?:invoice|reminder)\S+)\s+(\w+)\s+(\d*)\s+(\d+\.\d)\s+(\S+)")
# The first sample invoice: 344.90 net, of which 272.90 with 20 % VAT.
FIRST_TOTAL = 399.48


def environment(var: Path, **extra: str) -> dict[str, str]:
    """Return the environment for one run of the example project."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {"EXAMPLE_VAR": str(var)} | extra


def settings() -> dict[str, str]:
    """Return the variables that the demo gives to its processes."""
    return {
        "DJANGO_SETTINGS_MODULE": "example_project.demo.settings",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{SITE}",
    }


def run(var: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the example project to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(var, **extra),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def manage(var: Path, *arguments: str) -> str:
    """Run a management command that must succeed; return its output."""
    done = run(var, "example_project/manage.py", *arguments, **settings())
    assert done.returncode == 0, done.stderr
    return done.stdout


def processes_of(var: Path) -> list[str]:
    """Return the command lines of the processes that use a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"EXAMPLE_VAR={var}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # ended meanwhile, or of another user
            continue
    return found


def wait_for(what: str, look, seconds: float = 60.0):
    """Return the result of ``look`` once it is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"waited too long for {what}"
        time.sleep(0.1)
    return found


class Command:
    """A running command and its output."""

    def __init__(self, var: Path, *arguments: str) -> None:
        self.var = var
        self.file = var / "printed"
        var.mkdir(exist_ok=True)
        with self.file.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment(var),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def printed(self) -> str:
        """The output so far."""
        return self.file.read_text()

    def wait_until(self, pattern: str) -> re.Match[str]:
        """Wait until the output matches a pattern."""

        def look() -> re.Match[str] | None:
            assert self.popen.poll() is None, self.printed
            return re.search(pattern, self.printed)

        return wait_for(pattern, look)

    def stop(self, number: int) -> int:
        """Send a signal; return the exit status."""
        self.popen.send_signal(number)
        return self.popen.wait(60)


class Visitor:
    """A browser in which a user is logged in."""

    def __init__(self, site: str, name: str, password: str) -> None:
        self.site = site
        self.session = requests.Session()
        self.session.trust_env = False
        self.post("/accounts/login/", username=name, password=password)

    def get(self, path: str) -> requests.Response:
        """Open a page."""
        return self.session.get(self.site + path, timeout=10)

    def post(self, path: str, **fields: object) -> requests.Response:
        """Submit a form of a page."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(path).text)
        fields["csrfmiddlewaretoken"] = token[1]
        return self.session.post(self.site + path, data=fields, timeout=10)

    def finished_page(self, documents: int) -> str:
        """Return the list of documents once so many can be downloaded."""

        def look() -> str:
            text = self.get("/").text
            return text if text.count(">Download<") == documents else ""

        return wait_for(f"{documents} documents", look)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, Path]]]:
    """The result of one run of the demo: the state and the file of each document."""
    var = tmp_path_factory.mktemp("demo")
    done = run(var, "-m", "example_project.demo", "--delay=0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert processes_of(var) == []
    assert "8 documents in" in done.stdout
    assert "make serve" in done.stdout.splitlines()[-4]
    rows = ROW.findall(done.stdout)
    return {name: (state, Path(file)) for name, state, _pages, _seconds, file in rows}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The running site."""
    command = Command(
        tmp_path_factory.mktemp("shop"),
        "-m",
        "example_project.demo.serve",
        "--port=0",
        "--delay=0.2",
    )
    try:
        command.wait_until("ready +press Ctrl-C to stop")
        yield command
    finally:
        code = command.stop(signal.SIGINT)
    assert code == 130
    assert processes_of(command.var) == []


def visit(shop: Command, name: str) -> Visitor:
    """Log in with the password that the command printed."""
    site = re.search(r"customer +(\S+)/\n", shop.printed)[1]
    password = re.search(rf"login +{name} +password +(\S+)", shop.printed)[1]
    return Visitor(site, name, password)


def test_demo_generates_every_document(demo):
    """The demo generates five invoices by signal, the report in both types, and a reminder."""
    year = timezone.localdate().year
    invoices = [f"invoice-{year}-{number:04}.pdf" for number in range(1, 6)]
    reminder = f"reminder-{year}-0001.pdf"
    assert sorted(demo) == [*invoices, "invoices.pdf", "invoices.xlsx", reminder]
    assert {state for state, _file in demo.values()} == {"completed"}


def test_demo_files_are_private(demo):
    """Other users of the machine cannot read the files."""
    assert {file.stat().st_mode & 0o077 for _state, file in demo.values()} == {0}


def test_long_invoice_has_page_numbers(demo):
    """Every page has its number and the table's header, and the last one has the totals."""
    _state, file = demo[f"invoice-{timezone.localdate().year}-0004.pdf"]
    pages = [page.extract_text() for page in pypdf.PdfReader(file).pages]
    assert len(pages) > 2
    for number, text in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in text
        assert "Description" in text
    assert "Total due" in pages[-1]
    assert "Please pay" in pages[-1]


def test_invoice_has_the_right_totals(demo):
    """The first invoice has the right subtotal, VAT and total."""
    _state, file = demo[f"invoice-{timezone.localdate().year}-0001.pdf"]
    text = pypdf.PdfReader(file).pages[0].extract_text()
    for amount in ("£344.90", "£54.58", f"£{FIRST_TOTAL}"):
        assert amount in text


def test_report_is_a_spreadsheet_of_numbers(demo):
    """The spreadsheet has a row for each invoice, and a last one with the sum."""
    _state, file = demo["invoices.xlsx"]
    sheet = openpyxl.load_workbook(file)["Invoices"]
    header, *rows, total = sheet.iter_rows(values_only=True)
    assert header[-1] == "Total (GBP)"
    assert len(rows) == 5
    assert rows[0][-1] == FIRST_TOTAL
    assert total[0] == "Total"
    assert total[-1] == pytest.approx(sum(row[-1] for row in rows))


def test_report_is_a_pdf(demo):
    """The PDF has the same table with a letterhead."""
    _state, file = demo["invoices.pdf"]
    text = pypdf.PdfReader(file).pages[0].extract_text()
    assert "Marlow & Finch" in text
    assert str(FIRST_TOTAL) in text


def test_demo_reports_a_port_in_use(tmp_path):
    """The demo prints one line and starts nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tmp_path, "-m", "example_project.demo", f"--port={port}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"Port {port} is not available (Address already in use); choose another with --port "
        '(make serve ARGS="--port …").'
    ]


def test_demo_reports_a_missing_library(tmp_path):
    """Without Pango the sandbox's message is printed, and everything is stopped."""
    fake = tmp_path / "weasyprint.py"
    fake.write_text("raise OSError('cannot load library libgobject-2.0-0')")
    done = run(tmp_path, "-m", "example_project.demo", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0" in done.stderr
    assert processes_of(tmp_path) == []


def test_demo_ends_at_its_deadline(tmp_path):
    """If documents take too long, the demo ends and lists the unfinished ones."""
    done = run(tmp_path, "-m", "example_project.demo", "--delay=60", "--deadline=20")
    assert done.returncode == 1
    assert "with unfinished documents" in done.stderr
    assert processes_of(tmp_path) == []


def test_demo_refuses_a_directory_in_use(shop):
    """Two runs do not share a directory."""
    done = run(shop.var, "-m", "example_project.demo")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Another run is using {shop.var}. Stop it, or set EXAMPLE_VAR."
    ]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.weekly)],
)
def test_interrupted_demo_stops_everything(tmp_path, number, code):
    """After Ctrl-C no process is left."""
    command = Command(tmp_path, "-m", "example_project.demo", "--delay=60")
    command.wait_until("8 (queued|working)")
    assert command.stop(number) == code
    assert processes_of(tmp_path) == []


def test_demo_reports_a_killed_worker(tmp_path):
    """The demo prints the end of the worker's log, fails, and leaves no process."""
    command = Command(tmp_path, "-m", "example_project.demo", "--delay=60")
    command.wait_until("8 (queued|working)")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == command.popen.pid and b"celery" in line:
            os.kill(int(process.name), signal.SIGKILL)
    assert command.popen.wait(60) == 1
    assert "worker exited with status -9" in command.printed
    assert processes_of(tmp_path) == []


def test_customers_see_only_their_own_invoices(shop):
    """Another customer's invoices are neither listed nor found."""
    ines, tomas = visit(shop, "ines"), visit(shop, "tomas")
    ours, theirs = ines.finished_page(3), tomas.finished_page(2)
    year = timezone.localdate().year
    assert re.findall(r"<td>(\d+-\d+)</td>", ours) == [
        f"{year}-{number:04}" for number in (5, 3, 1)
    ]
    for pattern in (r'href="(/docraptor/documents/\S+/)"', r'href="(/invoices/\d+/pdf/)"'):
        path = re.search(pattern, theirs)[1]
        assert tomas.get(path).content.startswith(b"%PDF-")
        assert ines.get(path).status_code == 404


def test_customer_view_returns_the_existing_document(shop):
    """Opening an invoice enqueues no second document."""
    ines = visit(shop, "ines")
    paths = re.findall(r'href="(/invoices/\d+/pdf/)"', ines.finished_page(3))
    before = count_jobs(shop)
    answer = ines.get(paths[0])
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"].startswith('inline; filename="invoice-')
    assert count_jobs(shop) == before


def test_preview_is_for_staff(shop):
    """``?as=html`` shows staff the HTML, in which all assets are embedded."""
    ines, admin = visit(shop, "ines"), visit(shop, "admin")
    path = re.search(r'href="(/invoices/\d+/pdf/)"', ines.finished_page(3))[1]
    assert ines.get(f"{path}?as=html").status_code == 403
    html = admin.get(f"{path}?as=html").text
    assert html.count('src="data:image/svg+xml;base64,') == 2  # the logo, the signature
    assert find_problems(html, allow_private=False) == []


def test_documents_are_delivered_and_mailed(shop):
    """Every invoice has its document in its own field, and its customer an e-mail with a link."""
    visit(shop, "ines").finished_page(3)
    script = """
from shop.models import Invoice
print([bool(i.pdf) and i.pdf.size > 999 for i in Invoice.objects.filter(customer__username="ines")])
"""
    wait_for("delivery", lambda: "[True, True, True]" in manage(shop.var, "shell", "-c", script))
    mails = wait_for(
        "mail",
        lambda: [
            text
            for file in (shop.var / "mail").iterdir()
            if "To: ines@" in (text := file.read_text())
        ],
    )
    body = message_from_string(mails[0], policy=policy.default).get_body(("plain",))
    text = body.get_content()
    assert re.search(r"http://127\.0\.0\.1:\d+/docraptor/documents/\S+/status/", text)


def count_jobs(shop: Command) -> str:
    """Return the number of jobs."""
    script = "from django_docraptor.models import RenderJob\nprint(RenderJob.objects.count())"
    return manage(shop.var, "shell", "-c", script).splitlines()[-1]


def test_anonymous_user_must_log_in(shop):
    """No page and no document can be opened without a login."""
    tomas = visit(shop, "tomas")
    path = re.search(r'href="(/docraptor/documents/\S+/)"', tomas.finished_page(2))[1]
    assert requests.get(tomas.site + path, timeout=10).status_code == 404
    page = requests.get(tomas.site, timeout=10, allow_redirects=False)
    assert page.headers["Location"] == "/accounts/login/?next=/"


def test_admin_generates_reports_and_reminders(shop):
    """An action asks for a type and a button for a date; both generate what was requested."""
    admin = visit(shop, "admin")
    page = admin.get("/admin/shop/invoice/").text
    chosen = re.findall(r'name="_selected_action" value="(\d+)"', page)
    assert len(chosen) >= 5
    action = {"action": "docraptor_shop_InvoiceReport", "_selected_action": chosen[-2:]}
    options = {"_form_token": "report", "document-document_type": "xlsx"}
    assert "invoices.xlsx" in admin.post("/admin/shop/invoice/", **action, **options).text
    path = f"/admin/shop/invoice/{chosen[-1]}/documents/shop.Reminder/"
    answer = admin.post(path, _form_token="reminder", **{"document-pay_by": "2030-01-31"})
    assert "reminder-" in answer.text


def test_issued_invoice_has_one_document(shop):
    """A draft has no document; an issued invoice has one, however often it is saved."""
    script = """
from datetime import date
from django.contrib.auth.models import User
from django_docraptor.models import RenderJob
from shop.models import Invoice
user = User.objects.create(username="once")
invoice = Invoice.objects.create(customer=user, number="draft", address="somewhere")
made = [RenderJob.objects.for_source(invoice).count()]
invoice.issued_on = date(2026, 1, 31)
for _ in range(3):
    invoice.save()
    made.append(RenderJob.objects.for_source(invoice).count())
print("made", made)
"""
    assert "made [0, 1, 1, 1]" in manage(shop.var, "shell", "-c", script)


def test_site_is_small():
    """The site, without migrations, tests and demo, has few lines."""
    files = [SITE / "manage.py", *(SITE / "mysite").glob("*.py"), *(SITE / "shop").glob("*.py")]
    files.remove(SITE / "shop" / "tests.py")
    lines = [line for file in files for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) < MAX_LINES
    others = set(SITE.rglob("*.py")) - set(files)
    homes = {file.relative_to(SITE).parts[:2] for file in others}
    assert {home for home in homes if home[0] != "demo"} == {
        ("__init__.py",),
        ("shop", "migrations"),
        ("shop", "tests.py"),
    }


def test_its_own_tests_pass(tmp_path):
    """They use the testing kit: without the sandbox, and on a clone without a database."""
    path = {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    done = run(tmp_path, "example_project/manage.py", "test", "shop", **path)
    assert "Ran 1 test" in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_site_runs_without_its_demo(tmp_path):
    """Its own settings have no problem."""
    path = {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    done = run(tmp_path, "example_project/manage.py", "check", **path)
    assert "no issues" in done.stdout, done.stderr


def test_migrations_are_complete(tmp_path):
    """The models match the migrations."""
    assert "No changes" in manage(tmp_path, "makemigrations", "--check", "--dry-run")


@pytest.mark.parametrize(
    ("variables", "engine", "options"),
    [
        (
            {},
            "sqlite3",
            {"data_folder_in", "data_folder_out", "control_folder", "polling_interval"},
        ),
        (
            {"DATABASE_URL": "postgresql://me:p%40ss@db/shop", "CELERY_BROKER_URL": "redis://mq/1"},
            "postgresql",
            {"socket_timeout", "socket_connect_timeout"},
        ),
        (
            {"DATABASE_URL": "mariadb://me:p%40ss@db:3307/shop", "CELERY_BROKER_URL": "amqp://mq"},
            "mysql",
            {"confirm_publish"},
        ),
    ],
)
def test_environment_chooses_services(tmp_path, variables, engine, options):
    """URLs in the environment choose the database and the broker with its options."""
    script = """
from django.conf import settings
print(settings.DATABASES["default"]["ENGINE"].rpartition(".")[2])
print(settings.DATABASES["default"].get("PASSWORD", "p@ss"))
print(*settings.CELERY_BROKER_TRANSPORT_OPTIONS)
"""
    done = run(tmp_path, "-c", script, **settings(), **variables)
    assert done.stdout.splitlines()[:2] == [engine, "p@ss"]
    assert set(done.stdout.splitlines()[2].split()) == options


def test_environment_chooses_s3(tmp_path):
    """A bucket replaces the directory, and its URLs are signed and expire."""
    script = """
from django_docraptor.storage import document_storage
print(document_storage.bucket_name, document_storage.url("a.pdf", expire=60))
"""
    done = run(
        tmp_path,
        "-c",
        script,
        **settings(),
        AWS_STORAGE_BUCKET_NAME="papers",
        AWS_S3_ENDPOINT_URL="http://127.0.0.1:9000",
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret",
    )
    assert done.stdout.startswith("papers http://127.0.0.1:9000/papers/a.pdf?"), done.stderr
    assert "X-Amz-Expires=60" in done.stdout


def test_environment_chooses_the_real_service(tmp_path):
    """An API key chooses DocRaptor itself, with polling unless a callback URL is set."""
    script = """
from django.conf import settings
print(settings.DOCRAPTOR["BASE_URL"], settings.DOCRAPTOR["CALLBACK_BASE_URL"] or "polling")
"""
    done = run(tmp_path, "-c", script, DOCRAPTOR_API_KEY="real", **settings())
    assert done.stdout.split() == ["https://api.docraptor.com", "polling"]
