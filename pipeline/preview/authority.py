"""A certificate authority for this machine alone, and the certificate of its preview.

Browsers give WebXR to pages over HTTPS only. No public authority signs certificates for private addresses, so this
machine has an authority of its own, whose certificate a person installs on a device once. Name constraints
(RFC 5280, section 4.2.1.10) bind it to private addresses and local names: even if its key were stolen, it could not
stand for a public site.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .local_names import LOCAL_DOMAINS, PRIVATE_NETWORKS, LocalNames

VARIABLE: Final = "STREAMXR_HTTPS"  # environment variable: another folder for authority and certificate
AUTHORITY_DAYS: Final = 3 * 365
# Apple's systems accept up to 825 days from authorities that a person installed; shorter ones are renewed sooner.
CERTIFICATE_DAYS: Final = 90
RENEWED_DAYS: Final = 30  # a certificate that ends sooner is renewed at the start
CLOCK_SKEW: Final = datetime.timedelta(days=1)  # a device's clock may be behind
ORGANIZATION: Final = "StreamXR preview"


class AuthorityError(Exception):
    """The folder of the authority cannot be read or written. The message names the file and the remedy."""


@dataclass(frozen=True)
class Credentials:
    """authority: the certificate that devices trust, PEM. certificate, key: files for the server.

    created: whether the authority is new, so that no device trusts it yet.
    """

    authority: bytes
    certificate: Path
    key: Path
    created: bool


def folder() -> Path:
    """The user's folder for the authority."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/streamxr/https").expanduser()
    data = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or "~/.local/share"
    return Path(data).expanduser() / "streamxr" / "https"


def credentials(names: LocalNames, now: datetime.datetime | None = None) -> Credentials:
    """The authority, made at the first call, and a certificate for these names, renewed when that is due.

    now: the time, with a time zone. Raises AuthorityError.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    place = folder()
    try:
        created = _create_authority(place, now)
        authority = x509.load_pem_x509_certificate((place / "authority.crt").read_bytes())
        signing_key = _private_key(place / "authority.key")
        if authority.not_valid_after_utc - now < datetime.timedelta(days=RENEWED_DAYS):
            raise AuthorityError(
                f"the authority in {place} ends on {authority.not_valid_after_utc:%Y-%m-%d}: make a new one with "
                "`streamxr serve --https-forget`, and trust it on each device again"
            )
        names = _permitted(names, authority)
        if not _is_good(place, names, authority, now):
            _write_certificate(place, names, authority, signing_key, now)
    except OSError as error:
        raise AuthorityError(f"{error.filename or place}: {error.strerror or error}") from None
    except ValueError as error:
        raise AuthorityError(
            f"{place} holds a damaged certificate or key ({error}): remove it with `streamxr serve --https-forget`, "
            "and trust the new authority on each device"
        ) from None
    return Credentials((place / "authority.crt").read_bytes(), place / "server.crt", place / "server.key", created)


def forget() -> bool:
    """Remove the authority and its keys from this machine; whether there was one. Raises AuthorityError."""
    try:
        shutil.rmtree(folder())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise AuthorityError(f"cannot remove {error.filename or folder()}: {error.strerror or error}") from None
    return True


def fingerprint(authority: bytes) -> str:
    """The SHA-256 of an authority's certificate, as devices show it."""
    digest = x509.load_pem_x509_certificate(authority).fingerprint(hashes.SHA256())
    return digest.hex(":").upper()


def _create_authority(place: Path, now: datetime.datetime) -> bool:
    """Make the authority if there is none; whether it is new. It appears whole, also if two processes start at once."""
    if (place / "authority.crt").exists():
        return False
    if place.exists():
        raise ValueError("authority.crt is missing")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".https-", dir=place.parent) as scratch:  # with mode 0700
        made = Path(scratch) / "made"
        made.mkdir(mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{ORGANIZATION} on {socket.gethostname()}"[:64]),
            ]
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(_constraints(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(made / "authority.key", _pem(key), 0o600)
        _write(made / "authority.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        try:
            made.rename(place)
        except OSError:
            if not (place / "authority.crt").exists():
                raise
            return False  # another process was faster
    return True


def _constraints() -> x509.NameConstraints:
    host = socket.gethostname().lower().rstrip(".")
    names = [*LOCAL_DOMAINS, *([] if "." in host else [host])]
    permitted: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    permitted += [x509.IPAddress(network) for network in PRIVATE_NETWORKS]
    return x509.NameConstraints(permitted, None)


def _permitted(names: LocalNames, authority: x509.Certificate) -> LocalNames:
    """The names without those that the constraints of the authority forbid: the machine may have another name since."""
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    domains = constraints.permitted_subtrees or []
    permitted = [domain.value for domain in domains if isinstance(domain, x509.DNSName)]
    good = [n for n in names.names if any(n == domain or n.endswith(f".{domain}") for domain in permitted)]
    return LocalNames(tuple(good), names.addresses, (*names.left_out, *(n for n in names.names if n not in good)))


def _is_good(place: Path, names: LocalNames, authority: x509.Certificate, now: datetime.datetime) -> bool:
    """Whether the server's certificate is for these names, signed by the authority, and valid for long enough."""
    if not (place / "server.crt").exists() or not (place / "server.key").exists():
        return False
    certificate = x509.load_pem_x509_certificate((place / "server.crt").read_bytes())
    own = _private_key(place / "server.key").public_key()
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # of several kinds, which all mean that another authority signed it
        return False
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        own == certificate.public_key()
        and certificate.not_valid_after_utc - now > datetime.timedelta(days=RENEWED_DAYS)
        and certificate.not_valid_before_utc <= now
        and set(found) == set(_alternative_names(names))
    )


def _write_certificate(
    place: Path,
    names: LocalNames,
    authority: x509.Certificate,
    signing_key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION)]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(_alternative_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        .sign(signing_key, hashes.SHA256())
    )
    _write(place / "server.key", _pem(key), 0o600)
    _write(place / "server.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _alternative_names(names: LocalNames) -> list[x509.GeneralName]:
    return [*(x509.DNSName(name) for name in names.names), *(x509.IPAddress(a) for a in names.addresses)]


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path.name} is no key of an elliptic curve")
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file that appears whole, and that nobody else can read before it has its mode."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
