"""Where images come from and as whom: registries.yaml, docker's configuration, the caller's word; challenges; nothing leaks."""

import base64
import json
import os

import pytest

from kogia.cri.types import AuthConfig
from kogia.runtime.images.auth import parse_challenges
from kogia.runtime.images.config import BadConfig, Credentials, Registries, from_auth_config, is_local


def registries(folder, text="", docker=None):
    (folder / "r.yaml").write_text(text)
    (folder / "d.json").write_text(json.dumps(docker or {}))
    return Registries(folder / "r.yaml", folder / "d.json")


def bases(found):
    return [e.base for e in found]


def test_defaults(tmp_path):
    r = Registries(tmp_path / "absent", tmp_path / "absent")
    (hub,) = r.endpoints("docker.io", "library/nginx")
    assert (hub.base, hub.host, hub.repository, hub.credentials) == ("https://registry-1.docker.io/v2", "registry-1.docker.io", "library/nginx", Credentials())
    assert bases(r.endpoints("quay.io", "x")) == ["https://quay.io/v2"]
    assert bases(r.endpoints("localhost:5000", "x")) == ["http://localhost:5000/v2"]
    assert [is_local(h) for h in ("127.0.0.1:1", "[::1]:5", "localhost", "localhost.example", "10.0.0.1", "127.0.0.1.nip.io")] == [True, True, True, False, False, False]


def test_mirrors_come_first_and_the_registry_last(tmp_path):
    r = registries(
        tmp_path,
        """
mirrors:
  docker.io:
    endpoint: ["https://m1.example:5000", "http://m2.example/proxy/v2/"]
    rewrite: {"^library/(.*)": "hub/$1"}
  "*":
    endpoint: ["https://all.example"]
  plain.example:
    endpoint: ["http://plain.example"]
configs:
  m1.example:5000:
    auth: {username: u, password: p}
    tls: {insecure_skip_verify: true, unknown_key: 1}
""",
    )
    one, two, hub = r.endpoints("docker.io", "library/nginx")
    assert (one.base, one.repository, one.namespace, one.credentials.username) == ("https://m1.example:5000/v2", "hub/nginx", "docker.io", "u")
    assert one.tls is not None and one.tls.insecure_skip_verify
    assert (two.base, two.credentials) == ("http://m2.example/proxy/v2", Credentials())
    assert (hub.base, hub.repository, hub.namespace) == ("https://registry-1.docker.io/v2", "library/nginx", "")
    assert bases(r.endpoints("quay.io", "x")) == ["https://all.example/v2", "https://quay.io/v2"]
    assert bases(r.endpoints("plain.example", "x")) == ["http://plain.example/v2"]


def test_whose_credentials_go_where(tmp_path):
    docker = {"auths": {"https://index.docker.io/v1/": {"auth": base64.b64encode(b"hub:secret").decode()}, "quay.io": {"username": "q", "password": "w"}}}
    r = registries(tmp_path, "mirrors: {docker.io: {endpoint: ['https://m.example']}}\nconfigs: {quay.io: {auth: {identity_token: t}}}", docker)
    mirror, hub = r.endpoints("docker.io", "x/y")
    assert not mirror.credentials and hub.credentials == Credentials("hub", "secret")
    given = AuthConfig(username="me", password="pw")
    mirror, hub = r.endpoints("docker.io", "x/y", given)
    assert not mirror.credentials and hub.credentials == Credentials("me", "pw")
    mirror, hub = r.endpoints("docker.io", "x/y", AuthConfig(username="me", password="pw", server_address="m.example"))
    assert mirror.credentials == Credentials("me", "pw") and hub.credentials.username == "hub"
    assert r.endpoints("quay.io", "x")[0].credentials == Credentials(identity_token="t")
    assert r.endpoints("quay.io", "x", AuthConfig(username="me", server_address="https://index.docker.io/v1/"))[0].credentials.identity_token == "t"
    assert "secret" not in repr(r.endpoints("docker.io", "x/y")) and "pw" not in repr(hub)


def test_files_are_read_again_when_they_change(tmp_path):
    r = registries(tmp_path)
    assert len(r.endpoints("quay.io", "x")) == 1
    (tmp_path / "r.yaml").write_text("mirrors: {quay.io: {endpoint: ['https://m.example']}}")
    os.utime(tmp_path / "r.yaml", (1, 1))
    assert len(r.endpoints("quay.io", "x")) == 2
    (tmp_path / "r.yaml").unlink()
    assert len(r.endpoints("quay.io", "x")) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mirrors: [", "not YAML"),
        ("[]x", "not YAML"),
        ("- a", "not a mapping"),
        ("mirrors: [a]", "mirrors is not a mapping"),
        ("configs: {a: 1}", "configs is not a mapping"),
        ("mirrors: {a: {endpoint: ['ftp://x']}}", "not an http or https URL"),
        ("mirrors: {a: {endpoint: ['m.example']}}", "not an http or https URL"),
        ("mirrors: {a: {rewrite: {'(': x}}}", "rewrite"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path, text, said):
    with pytest.raises(BadConfig, match="r.yaml: .*" + said):
        registries(tmp_path, text).endpoints("quay.io", "x")


def test_auth_config_forms():
    assert from_auth_config(AuthConfig(auth=base64.b64encode(b"u:p:q").decode())) == Credentials("u", "p:q")
    assert from_auth_config(AuthConfig(registry_token="t")) == Credentials(registry_token="t")
    for bad in ("!!!", base64.b64encode(b"nocolon").decode(), base64.b64encode(b"\xff\xfe:").decode()):
        with pytest.raises(BadConfig):
            from_auth_config(AuthConfig(auth=bad))


def test_challenges():
    (one,) = parse_challenges('Bearer realm="https://auth.example/token",service="reg, with comma",scope="repository:a/b:pull,push"')
    assert (one.scheme, one.parameters["service"], one.parameters["scope"]) == ("bearer", "reg, with comma", "repository:a/b:pull,push")
    two = parse_challenges('Basic realm="a \\"b\\"", bearer realm=x, service=y')
    assert [(c.scheme, c.parameters) for c in two] == [("basic", {"realm": 'a "b"'}), ("bearer", {"realm": "x", "service": "y"})]
    assert parse_challenges("Negotiate") == [] and parse_challenges("") == [] and parse_challenges("Basic")[0].parameters == {}
