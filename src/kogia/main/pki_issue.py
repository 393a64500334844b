"""Making keys and certificates with `cryptography`, which is imported inside the functions: an ordinary start needs none of it."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CA_DAYS = 3650
LEAF_DAYS = 365
SKEW = dt.timedelta(minutes=5)  #: how far back a certificate starts, for clocks that run behind


@dataclass(frozen=True, slots=True)
class Pair:
    cert_pem: bytes
    key_pem: bytes
    until: int  #: seconds since the epoch


@dataclass(slots=True)
class Authority:
    """A CA ready to sign."""

    cert: Any
    key: Any

    @classmethod
    def load(cls, cert: str, key: str) -> Authority:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        return cls(x509.load_pem_x509_certificate(Path(cert).read_bytes()), load_pem_private_key(Path(key).read_bytes(), None))


def new_authority(common_name: str, key_pem: bytes | None, now: float) -> Pair:
    """A self-signed CA; with `key_pem`, the same CA renewed."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Any = load_pem_private_key(key_pem, None) if key_pem else _new_key()
    subject = _name(common_name, ())
    builder = _builder(subject, subject, key.public_key(), now, CA_DAYS)
    usage = x509.KeyUsage(True, False, True, False, False, True, False, False, False)
    builder = builder.add_extension(usage, critical=True).add_extension(x509.BasicConstraints(True, None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
    return _signed(builder, key, key)


def issue(authority: Authority, common_name: str, organizations: Sequence[str], usage: str, sans: Sequence[str], now: float) -> Pair:
    """A leaf certificate with a new key. `usage`: server, client or both. `sans`: DNS names and IP addresses mixed."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    key = _new_key()
    builder = _builder(_name(common_name, organizations), authority.cert.subject, key.public_key(), now, LEAF_DAYS)
    key_usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    purposes = {"server": [Usage.SERVER_AUTH], "client": [Usage.CLIENT_AUTH], "both": [Usage.SERVER_AUTH, Usage.CLIENT_AUTH]}[usage]
    builder = builder.add_extension(key_usage, critical=True).add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(s) for s in sans]), critical=False)
    return _signed(builder, authority.key, key)


def new_service_account_key(private_pem: bytes | None) -> tuple[bytes, bytes]:
    """(private, public) PEM for signing tokens; with `private_pem`, its public half."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    key: Any = load_pem_private_key(private_pem, None) if private_pem else _new_key()
    return _key_pem(key), key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _new_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str, organizations: Sequence[str]) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(text: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(subject: Any, issuer: Any, public_key: Any, now: float, days: int) -> Any:
    from cryptography import x509

    start = dt.datetime.fromtimestamp(int(now), dt.UTC)
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key).serial_number(x509.random_serial_number())
        .not_valid_before(start - SKEW).not_valid_after(start + dt.timedelta(days=days))
    )


def _signed(builder: Any, signing_key: Any, own_key: Any) -> Pair:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    cert = builder.sign(signing_key, hashes.SHA256())
    return Pair(cert.public_bytes(Encoding.PEM), _key_pem(own_key), int(cert.not_valid_after_utc.timestamp()))


def _key_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem
