"""What an API server is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field

from kogia.apiserver.chain.chain import AuditHook, InFlightLimits
from kogia.store.interface import Store
from kogia.wire.http_server import Limits


@dataclass(slots=True)
class ApiServerConfig:
    """Paths are files (PEM) unless said otherwise. Without `cert` and `key` the server does not listen: in-process use only."""

    store: str | Store = "memory://"  #: a path of a SQLite database, `memory://`, or a store that is open already (and stays the caller's)
    bind_address: str = "0.0.0.0"
    port: int = 6443  #: 0 = any free one, see `ApiServer.port`
    advertise_address: str = ""  #: what the `kubernetes` Service leads to; "" = the address of the default route
    cert: str = ""
    key: str = ""
    client_ca: str = ""
    kubelet_ca: str = ""  #: who signs the kubelets' serving certificates; "" = client_ca
    kubelet_client_cert: str = ""
    kubelet_client_key: str = ""
    front_proxy_ca: str = ""
    service_account_key: str = ""  #: private; "" = one made up for this process
    service_account_public_keys: list[str] = field(default_factory=list)  #: further keys whose tokens are taken
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    api_audiences: tuple[str, ...] = ()  #: () = the issuer
    token_file: str = ""  #: static tokens, CSV
    service_cidr: str = "10.96.0.0/12"
    node_port_range: tuple[int, int] = (30000, 32767)  #: both inclusive
    anonymous: bool = True
    taint_new_nodes: bool = False  #: needs the node lifecycle controller to take the taint away
    compact: bool = True
    in_flight: InFlightLimits = field(default_factory=InFlightLimits)
    limits: Limits = field(default_factory=Limits)
    audit: AuditHook | None = None
