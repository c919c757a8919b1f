"""The classes of the guide to ``post_process()`` do what it says: they attach XML, and sign."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from django_docraptor import registry
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.apps.shop import models as shop_models
from tests.apps.shop.models import Invoice
from tests.support.jobs import read_file, run_until_finished
from tests.support.markdown import blocks

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def guide(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that runs the block of a class, and returns the class."""
    monkeypatch.setitem(sys.modules, "shop.models", shop_models)
    classes: list[Any] = []

    def run(name: str) -> Any:
        (block,) = (
            block
            for block in blocks("python")
            if block.page.endswith("post-process.md") and f"class {name}(" in block.code
        )
        names: dict[str, Any] = {"__name__": "shop.documents"}
        exec(compile(block.code, str(block), "exec"), names)
        classes.append(names[name])
        return names[name]

    yield run
    for cls in classes:
        registry.unregister(cls.label)


def complete(document: Any) -> RenderJob:
    """Return the completed job of an invoice."""
    job = run_until_finished(document.enqueue(Invoice.objects.create(number="17")))
    assert job.state == State.COMPLETED, job.errors
    return job


def test_xml_is_attached(sandbox: Sandbox, guide: Any, settings: Any, tmp_path: Path) -> None:
    """A reader finds the XML of the invoice in the stored file, and how it is related to it."""
    pikepdf = pytest.importorskip("pikepdf")
    template = tmp_path / "shop" / "invoice.xml"
    template.parent.mkdir()
    template.write_text("<invoice>{{ invoice.number }}</invoice>")
    settings.TEMPLATES = [
        {**engine, "DIRS": [*engine.get("DIRS", []), tmp_path]} for engine in settings.TEMPLATES
    ]
    job = complete(guide("EInvoicePDF"))
    with pikepdf.open(io.BytesIO(read_file(job))) as pdf:
        attached = pdf.attachments["factur-x.xml"]
        assert attached.get_file().read_bytes() == b"<invoice>17</invoice>"
        assert attached.get_file().mime_type == "text/xml"
        assert attached.relationship == pikepdf.Name.Alternative
        assert len(pdf.Root.AF) == 1
        with pdf.open_metadata() as metadata:
            assert "EN 16931" in str(metadata)


def test_signature_is_valid(sandbox: Sandbox, guide: Any, settings: Any, tmp_path: Path) -> None:
    """The signature covers the whole stored file."""
    pytest.importorskip("pyhanko")
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    settings.SIGNING_KEY_FILE, settings.SIGNING_CERTIFICATE_FILE = create_key(tmp_path)
    job = complete(guide("SignedInvoicePDF"))
    (signature,) = PdfFileReader(io.BytesIO(read_file(job))).embedded_signatures
    trusted = ValidationContext(trust_roots=[signature.signer_cert])
    status = validate_pdf_signature(signature, trusted)
    assert status.intact
    assert status.valid
    assert status.coverage.name == "ENTIRE_FILE"


def create_key(directory: Path) -> tuple[str, str]:
    """Create a private key and a certificate that it has signed itself, and return their paths."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=1))
    key_path, certificate_path = directory / "key.pem", directory / "certificate.pem"
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate = builder.sign(key, hashes.SHA256())
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return str(key_path), str(certificate_path)
