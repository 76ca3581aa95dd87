"""Certificates: one that nobody vouches for is refused, the hospital's own authority is believed where it is named."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ostensor.imaging.errors import Unavailable
from ostensor.store.archives.dicomweb import DicomWeb
from ostensor.store.archives.nodes import Node
from ostensor.store.archives.web import Web

from ...toys.archive_server import TOKEN, ArchiveServer, running_archive


def certificate(folder: Path) -> Path:
    """Signed by itself, for 127.0.0.1; key and certificate in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pacs")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "pacs.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[ArchiveServer, Path]]:
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with running_archive() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server, file


def check(server: ArchiveServer, **changes: object) -> str:
    node = Node("pacs", "dicomweb", server.url.replace("http:", "https:"), token_env="KEY", **changes)  # type: ignore[arg-type]
    with closing(DicomWeb(Web(node, {"KEY": TOKEN}.get))) as archive:
        return archive.check()


def test_a_certificate_nobody_vouches_for_is_refused_and_no_key_is_sent(secure: tuple[ArchiveServer, Path]) -> None:
    with pytest.raises(Unavailable, match=r"certificate of 'pacs' is not trusted.*ca_file"):
        check(secure[0])
    assert secure[0].asked == []


def test_the_authority_that_is_named_is_believed(secure: tuple[ArchiveServer, Path]) -> None:
    assert "answers" in check(secure[0], ca_file=str(secure[1]))


def test_checking_can_be_turned_off(secure: tuple[ArchiveServer, Path]) -> None:
    assert "answers" in check(secure[0], verify_tls=False)


def test_an_authority_that_is_no_file_is_told(secure: tuple[ArchiveServer, Path]) -> None:
    with pytest.raises(Unavailable, match="ca_file of 'pacs' cannot be read"):
        check(secure[0], ca_file=str(secure[1].with_name("none.pem")))
