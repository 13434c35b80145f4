"""Certificates for servers on the loopback interface, made by the test that needs them."""

from __future__ import annotations

import datetime
import functools
import ipaddress
import tempfile
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stepwell.base.clock import SystemClock
from stepwell.base.durations import SECOND


class Certificates(NamedTuple):
    """Files: of an authority, of a server at 127.0.0.1 and localhost that it vouches for, of a client, and of an
    authority that vouches for neither."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    stranger: Path


@functools.cache
def certificates() -> Certificates:
    """Those of this process; they are deleted with it."""
    folder = Path(_folder().name)
    (key, authority), (_, stranger) = _authority("authority"), _authority("stranger")
    written = {"authority": authority, "stranger": stranger}
    for name in ("server", "client"):
        own = ec.generate_private_key(ec.SECP256R1())
        written[name] = _certificate(name, own, authority, key)
        (folder / f"{name}.key").write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (folder / f"{name}.key").chmod(0o600)  # PostgreSQL insists on it
    for name, certificate in written.items():
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Certificates(
        folder / "authority.pem",
        folder / "server.pem",
        folder / "server.key",
        folder / "client.pem",
        folder / "client.key",
        folder / "stranger.pem",
    )


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="stepwell-certificates-")


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    built = _begun(name, key).issuer_name(_named(name))
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    built = built.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    built = built.add_extension(_usage(signs=True), critical=True)
    return key, built.sign(key, hashes.SHA256())


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    where = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    built = _begun(name, key).issuer_name(issuer.subject)
    built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    built = built.add_extension(x509.SubjectAlternativeName(where), critical=False)
    built = built.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    built = built.add_extension(_usage(signs=False), critical=True)
    return built.add_extension(issuer_id, critical=False).sign(issuer_key, hashes.SHA256())


def _begun(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(SystemClock().now() // SECOND, datetime.UTC)
    built = x509.CertificateBuilder().subject_name(_named(name)).public_key(key.public_key())
    built = built.serial_number(x509.random_serial_number())
    return built.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
