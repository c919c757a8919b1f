"""One document through the sandbox to a file, run in `manage.py shell`."""

from django.core.management import call_command

import django_docraptor

job = django_docraptor.enqueue(name="hello.pdf", content="<h1>Hello</h1><p>£45.00</p>")
call_command("docraptor_tick", until_idle=True, interval=0.1, timeout=60, verbosity=0)
job.refresh_from_db()
assert job.state == "completed", (job.state, job.error_code, job.errors)
with job.file.open() as file:
    content = file.read()
assert content.startswith(b"%PDF-"), content[:20]
assert len(content) == job.file_size
print(f"{job.name}: {job.file_size} bytes, {job.number_of_pages} page")
