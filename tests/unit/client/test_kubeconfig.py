import base64

import pytest

from kogia.client import kubeconfig

PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
FIRST = """
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c
  cluster: {server: "https://127.0.0.1:6443/", certificate-authority: ca.crt}
users:
- name: u
  user: {client-certificate: u.crt, client-key: u.key}
contexts:
- name: one
  context: {cluster: c, user: u, namespace: team}
"""
SECOND = f"""
current-context: two
clusters:
- name: c
  cluster: {{server: "https://elsewhere"}}
- name: d
  cluster: {{server: "https://d", certificate-authority-data: {base64.b64encode(PEM.encode()).decode()}}}
users:
- name: t
  user: {{token: secret}}
contexts:
- name: two
  context: {{cluster: d, user: t}}
- name: lost
  context: {{cluster: nowhere, user: t}}
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "first").write_text(FIRST)
    (tmp_path / "second").write_text(SECOND)
    return tmp_path


def test_one_file_with_paths_relative_to_it(files):
    target = kubeconfig.load(files / "first")
    assert target.server == "https://127.0.0.1:6443"
    assert target.ca_file == str(files / "ca.crt") and target.key_file == str(files / "u.key")
    assert (target.context, target.namespace) == ("one", "team")


def test_several_files_the_first_wins(files, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", f"{files}/absent:{files}/first:{files}/second")
    assert kubeconfig.load().context == "one"
    two = kubeconfig.load(context="two")
    assert (two.server, two.token, two.ca_data) == ("https://d", "secret", PEM)
    assert two.headers() == {"authorization": "Bearer secret"}
    assert "secret" not in repr(two)
    assert kubeconfig.read()["clusters"]["c"]["server"] == "https://127.0.0.1:6443/"


def test_what_is_wrong_is_said(files, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError) as absent:
        kubeconfig.load(tmp_path / "absent")
    assert absent.value.filename == str(tmp_path / "absent")
    with pytest.raises(ValueError, match='context "x" does not exist'):
        kubeconfig.load(files / "first", "x")
    with pytest.raises(ValueError, match='cluster "nowhere" does not exist'):
        kubeconfig.load(files / "second", "lost")
    (tmp_path / "bad").write_text("a: [")
    with pytest.raises(ValueError, match="error loading config file"):
        kubeconfig.load(tmp_path / "bad")
