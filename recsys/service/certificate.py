"""The certificate of the service: whether browsers and clients would take it, and until when."""

import ssl
import time
from pathlib import Path

from recsys.base.errors import ConfigError

_ROUNDS = 4  # a handshake of TLS 1.3 takes three


def certificate_until(certificate: str | Path, key: str | Path) -> float:
    """Return when a certificate expires, in seconds since 1970.

    Two ends of a connection in memory shake hands, so its key and purpose are checked as well. Who
    has signed it is not: the clients know whom they trust.

    Raises
    ------
    ConfigError
        If the files are no certificate and its key, or it is not valid now.
    """
    try:
        server, client = _ends(certificate, key)
        known = _shake_hands(server, client)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ConfigError(
            "service.tls_certificate: expected a certificate that is valid now and its key, as PEM "
            f"files, got {_reason(error)}"
        ) from error
    return float(ssl.cert_time_to_seconds(str(known["notAfter"])))


def days_until(seconds: float) -> int:
    """Return the whole days until a time."""
    return int((seconds - time.time()) // 86_400)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def _ends(certificate: str | Path, key: str | Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(certificate))
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it vouches for itself
    return server, client


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there)
    answering = server.wrap_bio(there, back, server_side=True)
    for _ in range(_ROUNDS):
        for end in (asking, answering):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dict(asking.getpeercert() or {})
