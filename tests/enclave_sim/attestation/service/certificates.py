"""Certificates for tests: an authority, and certificates that it issues to hosts."""

import datetime
import ipaddress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from enclave_sim.attestation.service.server import Tls


@dataclass(frozen=True)
class Authority:
    """A certificate authority with its files in a directory."""

    directory: Path
    name: str

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def file(self) -> Path:
        """The authority's certificate."""
        return self._write("ca.pem", _certificate(self.name, self._key, self.name, self._key, None))

    def certify(self, address: str, *, expired: bool = False) -> Tls:
        """The certificate and key of a host with an IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(address, key, self.name, self._key, address, expired=expired)
        stem = f"{address}{'-expired' if expired else ''}"
        return Tls(self._write(f"{stem}.pem", certificate), self._write(f"{stem}.key", private_key(key)))

    def _write(self, name: str, content: bytes) -> Path:
        path = self.directory / f"{self.name}-{name}"
        path.write_bytes(content)
        return path


def private_key(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    """A key file."""
    scheme = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, scheme)


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    address: str | None,
    *,
    expired: bool = False,
) -> bytes:
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC) - (10 * day if expired else datetime.timedelta())
    public, issuer_public = key.public_key(), issuer_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
    )
    if address is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
