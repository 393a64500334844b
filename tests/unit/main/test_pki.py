"""Certificates verify, renew, and cost nothing when nothing is to be done."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from pathlib import Path

from kogia.main.pki import ensure_pki

DAY = 86400


def subject(path: str) -> str:
    return subprocess.run(["openssl", "x509", "-in", path, "-noout", "-subject", "-ext", "subjectAltName"], capture_output=True, text=True, check=True).stdout


def test_everything_is_made_and_verifies(tmp_path: Path) -> None:
    paths = ensure_pki(tmp_path, node_name="n1", service_cidr="10.96.0.0/12", extra_sans=["kogia.example", "192.0.2.7"])
    for name in ("apiserver", "admin", "kubelet-client", "kubelet-serving", "scheduler", "controller-manager", "kube-proxy", "apiserver-kubelet-client"):
        assert subprocess.run(["openssl", "verify", "-CAfile", paths.ca_cert, paths.cert(name)], capture_output=True, check=False).returncode == 0
        assert (Path(paths.key(name)).stat().st_mode & 0o777) == 0o600
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(paths.cert(name), paths.key(name))
    serving = subject(paths.apiserver_cert)
    for san in ("kubernetes.default.svc.cluster.local", "10.96.0.1", "127.0.0.1", "kogia.example", "192.0.2.7"):
        assert san in serving
    assert "O = system:nodes, CN = system:node:n1" in subject(paths.node_client_cert)
    assert "O = system:masters, CN = kubernetes-admin" in subject(paths.admin_cert)
    assert b"PUBLIC KEY" in Path(paths.sa_pub).read_bytes()


def test_a_second_run_changes_nothing_and_loads_no_cryptography(tmp_path: Path) -> None:
    ensure_pki(tmp_path, node_name="n1")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    code = (
        "import sys; from kogia.main.pki import ensure_pki; "
        f"ensure_pki({str(tmp_path)!r}, node_name='n1'); assert not any(m.startswith('cryptography') for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_renewal_keeps_the_authority(tmp_path: Path) -> None:
    paths = ensure_pki(tmp_path, node_name="n1")
    ca, admin, sa = (Path(p).read_bytes() for p in (paths.ca_cert, paths.admin_cert, paths.sa_key))
    ensure_pki(tmp_path, node_name="n1", now=time.time() + 340 * DAY)
    assert Path(paths.ca_cert).read_bytes() == ca
    assert Path(paths.admin_cert).read_bytes() != admin
    old_key = Path(paths.ca_key).read_bytes()
    ensure_pki(tmp_path, node_name="n1", now=time.time() + 3630 * DAY)
    assert Path(paths.ca_cert).read_bytes() != ca
    assert Path(paths.ca_key).read_bytes() == old_key
    assert Path(paths.sa_key).read_bytes() == sa


def test_new_names_and_lost_files_make_new_pairs(tmp_path: Path) -> None:
    paths = ensure_pki(tmp_path, node_name="n1")
    admin = Path(paths.admin_cert).read_bytes()
    ensure_pki(tmp_path, node_name="n1", extra_sans=["new.example"])
    assert "new.example" in subject(paths.apiserver_cert)
    assert Path(paths.admin_cert).read_bytes() == admin
    Path(paths.ca_key).unlink()
    ensure_pki(tmp_path, node_name="n1", extra_sans=["new.example"])
    assert Path(paths.admin_cert).read_bytes() != admin
    assert subprocess.run(["openssl", "verify", "-CAfile", paths.ca_cert, paths.admin_cert], capture_output=True, check=False).returncode == 0
