"""TLS contexts as Kogia uses them everywhere: 1.2 or newer, HTTP/1.1 only, verification always on."""

from __future__ import annotations

import ssl


def server_context(cert: str, key: str, client_ca: str = "") -> ssl.SSLContext:
    """For listening. With `client_ca`, clients may (need not) show a certificate, and one shown must verify. Errors: OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(ca: str = "", cert: str = "", key: str = "", *, ca_data: str = "", check_hostname: bool = True) -> ssl.SSLContext:
    """For dialling: `ca` file or `ca_data` PEM text is the only trust; without both, the system's. Errors: OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = check_hostname
    context.set_alpn_protocols(["http/1.1"])
    if ca or ca_data:
        context.load_verify_locations(cafile=ca or None, cadata=ca_data or None)
    else:
        context.load_default_certs()
    if cert:
        context.load_cert_chain(cert, key or None)
    return context
