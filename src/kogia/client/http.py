"""A `RestClient` over the network: from a kubeconfig, or from explicit certificate files.

The transport is `kogia.wire.http_client.HttpClient`; this file only turns configuration into one.
Idle connections are kept by the transport, so one client per identity and process is enough.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kogia.client.rest import RestClient

if TYPE_CHECKING:
    from kogia.client.kubeconfig import Target


def from_target(target: Target, *, user_agent: str = "kogia") -> RestClient:
    """Errors: OSError and ssl.SSLError for unusable credential files; nothing is dialled yet."""
    from kogia.wire.http_client import HttpClient

    transport = HttpClient(target.server, target.ssl_context(), server_hostname=target.tls_server_name, headers=target.headers())
    return RestClient(transport, user_agent=user_agent)


def from_kubeconfig(path: str | Path | None = None, context: str | None = None, *, user_agent: str = "kogia") -> RestClient:
    """Errors: FileNotFoundError, ValueError (see `kubeconfig.load`), ssl.SSLError."""
    from kogia.client import kubeconfig

    return from_target(kubeconfig.load(path, context), user_agent=user_agent)


def from_files(
    server: str, *, ca_file: str | Path, cert_file: str | Path = "", key_file: str | Path = "", token: str = "", user_agent: str = "kogia",
) -> RestClient:
    """For components whose PKI files are at hand. `server` is a URL such as `https://127.0.0.1:6443`."""
    from kogia.client.kubeconfig import Target

    target = Target(server=server, ca_file=str(ca_file), cert_file=str(cert_file), key_file=str(key_file), token=token)
    return from_target(target, user_agent=user_agent)
