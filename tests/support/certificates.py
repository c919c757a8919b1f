"""Certificates of an authority of our own, for servers on this machine."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


class Authority:
    """A certificate authority.

    Args:
        folder: where its files are written; ``folder / "ca.pem"`` is its CA bundle.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundle = folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"Authority {folder.name}")
        builder = _builder(self._name, self._key, self._name, self._key, is_ca=True)
        made = builder.sign(self._key, hashes.SHA256())
        self.bundle.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def server_context(self, host: str = HOST, *, days: int = 1) -> ssl.SSLContext:
        """Return the context of a server with a certificate for a host.

        Args:
            host: an IP address or a DNS name.
            days: when it expires, from now on; a negative number has passed.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(host), key, self._name, self._key, days=days).add_extension(
            x509.SubjectAlternativeName([_general_name(host)]), critical=False
        )
        made = builder.sign(self._key, hashes.SHA256())
        path = self.folder / f"{host}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool = False,
    days: int = 1,
) -> x509.CertificateBuilder:
    """Return what both kinds of certificates have; Python 3.13 demands all of it (RFC 5280)."""
    now = dt.datetime.now(dt.UTC)
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=3))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issued_by, critical=False)
        .add_extension(_usage(is_ca=is_ca), critical=True)
    )


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
