"""Pulling: from Debian's docker-registry (plain, with a password, gzip and zstd), and from a registry that misbehaves."""

import asyncio
import base64
import gzip
import json
import os
import stat
import subprocess

import pytest
import zstandard

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime.images.config import Registries
from kogia.runtime.images.distribution import Limits
from kogia.runtime.images.service import Images
from kogia.runtime.images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
QUICK = Limits(connect_s=1, read_s=0.4, attempts=3, initial_delay_s=0.01, max_delay_s=0.02)


def images_at(folder, registries="", docker=None):
    folder.mkdir(exist_ok=True)
    (folder / "registries.yaml").write_text(registries)
    (folder / "docker.json").write_text(json.dumps(docker or {}))
    return Images(ImageStore(folder / "store"), Registries(folder / "registries.yaml", folder / "docker.json"), limits=QUICK)


def spec(name):
    return t.ImageSpec(image=name)


def skopeo(layout, target, *options):
    subprocess.run(["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", *options, layout, f"docker://{target}"], check=True, capture_output=True)


def run(tmp_path, server_class, scenario, **knobs):
    """Run `scenario(server, images)` with a fresh server and store."""

    async def go():
        server = await server_class(**knobs).start()
        images = images_at(tmp_path / "node")
        try:
            await scenario(server, images)
        finally:
            await images.close()
            await server.stop()
        assert [n for n in os.listdir(images.store.root / "layers") if n.startswith("tmp-")] == []

    asyncio.run(go())


async def refused(images, name, auth=None):
    with pytest.raises(CriError) as caught:
        await images.pull_image(spec(name), auth)
    return caught.value


# -- the real registry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["oci-gzip", "oci-zstd", "docker"])
def test_docker_registry(start_registry, layout, tmp_path, form):
    host = start_registry()
    options = {"oci-gzip": (), "oci-zstd": ("--dest-compress-format", "zstd"), "docker": ("--format", "v2s2")}[form]
    skopeo(layout, f"{host}/team/app:v1", *options)
    images = images_at(tmp_path / "node")

    async def go():
        ref = await images.pull_image(spec(f"{host}/team/app:v1"))
        image = await images.image_status(spec(f"{host}/team/app:v1"))
        assert image is not None and image.repo_digests == [ref] and image.repo_tags == [f"{host}/team/app:v1"] and image.size > 50_000
        record = images.store.resolve(ref)
        assert record.config["Cmd"] == ["/file2"]
        top, bottom = record.layer_dirs[0], record.layer_dirs[-1]
        assert stat.S_ISCHR(os.lstat(f"{top}/file1").st_mode) and os.path.getsize(f"{top}/file2") == 50_000
        assert os.path.getsize(f"{bottom}/file1") == 50_000
        assert await images.pull_image(spec(ref)) == ref
        assert (await refused(images, f"{host}/team/app:v2")).message == (
            f'failed to pull and unpack image "{host}/team/app:v2": failed to resolve reference "{host}/team/app:v2": {host}/team/app:v2: not found'
        )
        assert (await images.image_fs_info())[0].used_bytes > 100_000
        await images.remove_image(spec(record.id[:20]))
        await images.remove_image(spec(record.id))
        assert await images.list_images() == [] and os.listdir(images.store.root / "layers") == []

    asyncio.run(go())


def test_docker_registry_with_a_password(start_registry, layout, tmp_path):
    host = start_registry("sesame")
    skopeo(layout, f"{host}/private:v1", "--dest-creds", "alice:sesame")
    name = f"{host}/private:v1"

    async def go():
        bare = images_at(tmp_path / "bare")
        error = await refused(bare, name)
        assert "pull access denied, repository does not exist or may require authorization: server message: unauthorized" in error.message
        assert "sesame" not in (await refused(bare, name, t.AuthConfig(username="alice", password="sesame2"))).message
        await bare.pull_image(spec(name), t.AuthConfig(username="alice", password="sesame"))
        await refused(bare, name)  # present, but this caller may not have it
        by_file = images_at(tmp_path / "file", f"configs: {{'{host}': {{auth: {{username: alice, password: sesame}}}}}}")
        await by_file.pull_image(spec(name))
        by_docker = images_at(tmp_path / "docker", docker={"auths": {host: {"auth": base64.b64encode(b"alice:sesame").decode()}}})
        await by_docker.pull_image(spec(name))
        await refused(by_docker, name, t.AuthConfig(username="alice", password="wrong"))  # the caller's word wins

    asyncio.run(go())


# -- the misbehaving one -------------------------------------------------------------------------------------------------


def test_index_and_token(tmp_path, server_class):
    async def scenario(server, images):
        digest, config = server.add(index=True)
        ref = await images.pull_image(spec(f"{server.host}/app:v1"), t.AuthConfig(username="bob", password="pw"))
        assert ref == f"{server.host}/app@{digest}"
        assert images.store.resolve(ref).id == config
        assert len(server.paths("/token")) == 1
        assert await refused(images, f"{server.host}/app:v1")

    run(tmp_path, server_class, scenario, token="t0k3n", user="bob:pw")


def test_one_download_for_many_callers(tmp_path, server_class):
    async def scenario(server, images):
        server.add()
        refs = await asyncio.gather(*[images.pull_image(spec(n)) for n in (f"{server.host}/app:v1",) * 5])
        assert len(set(refs)) == 1 and len(server.paths("/blobs/")) == 2
        await images.pull_image(spec(f"{server.host}/app:v1"))
        assert len(server.paths("/blobs/")) == 2 and len(server.paths("/manifests/v1")) == 2

    run(tmp_path, server_class, scenario, slow_s=0.05)


def test_layers_come_three_at_a_time_and_are_shared(tmp_path, server_class, tar_of):
    async def scenario(server, images):
        common = [tar_of({f"f{n}": bytes([n]) * 1000}) for n in range(5)]
        same = tar_of({"same": b"1"})
        server.add("a", layers=[*common, same, same])
        server.add("b", layers=[*common, tar_of({"other": b"2"})])
        await images.pull_image(spec(f"{server.host}/a:v1"))
        assert server.most_concurrent == 3
        server.requests.clear()
        await images.pull_image(spec(f"{server.host}/b:v1"))
        assert len(server.paths("/blobs/")) == 2  # the configuration and the one new layer
        a, b = images.store.resolve(f"{server.host}/a:v1"), images.store.resolve(f"{server.host}/b:v1")
        assert a.layer_dirs[2:] == b.layer_dirs[1:]

    run(tmp_path, server_class, scenario, slow_s=0.03)


@pytest.mark.parametrize("no_ranges", [False, True])
def test_a_stream_that_breaks_goes_on(tmp_path, server_class, tar_of, no_ranges):
    async def scenario(server, images):
        server.add(layers=[tar_of({"big": os.urandom(400_000)})], pack=lambda d: d)
        server.break_after = 150_000
        if no_ranges:
            error = await refused(images, f"{server.host}/app:v1")
            assert "broke off" in error.message
            server.break_after = 0
        await images.pull_image(spec(f"{server.host}/app:v1"))
        assert os.listdir(images.store.ingest) == []
        if not no_ranges:
            assert [r.headers["Range"] for r in server.requests if "Range" in r.headers] == ["bytes=150000-", "bytes=300000-"]

    run(tmp_path, server_class, scenario, no_ranges=no_ranges)


def test_a_pull_after_a_restart_goes_on(tmp_path, server_class, tar_of):
    async def scenario(server, images):
        server.add(layers=[tar_of({"big": os.urandom(400_000)})], pack=lambda d: d)
        server.break_after, server.no_ranges = 150_000, True
        await refused(images, f"{server.host}/app:v1")
        server.break_after, server.no_ranges = 0, False
        server.requests.clear()
        again = Images(ImageStore(images.store.root), limits=QUICK)
        await again.pull_image(spec(f"{server.host}/app:v1"))
        assert [r.headers["Range"] for r in server.requests if "Range" in r.headers] == ["bytes=150000-"]

    run(tmp_path, server_class, scenario)


def test_errors_that_pass_are_tried_again(tmp_path, server_class):
    async def scenario(server, images):
        server.add()
        server.fail_times = {"/manifests/": [503, 2], "/blobs/": [429, 2]}
        await images.pull_image(spec(f"{server.host}/app:v1"))
        server.fail_times = {"/manifests/": [500, 100]}
        error = await refused(images, f"{server.host}/app:v1")
        assert "unexpected status from HEAD request" in error.message and "500 Internal Server Error" in error.message
        assert 100 - server.fail_times["/manifests/"][1] == QUICK.attempts

    run(tmp_path, server_class, scenario)


def test_lies(tmp_path, server_class, tar_of):
    async def scenario(server, images):
        def lie(change, repository):
            server.add(repository, layers=[tar_of({repository: b"x" * 1000})])
            manifest = json.loads(server.manifests[(repository, "v1")])
            change(manifest)
            server.put(repository, "v1", json.dumps(manifest).encode())

        def other_content(manifest):
            layer = manifest["layers"][0]["digest"]
            server.blobs[layer] = server.blobs[layer][:-1] + b"?"

        def set_size(n):
            return lambda manifest: manifest["layers"][0].update(size=n)

        def other_layer(manifest):  # honest bytes, but not what the configuration says
            packed = gzip.compress(tar_of({"evil": b"1"}))
            digest = "sha256:" + __import__("hashlib").sha256(packed).hexdigest()
            server.blobs[digest] = packed
            manifest["layers"][0].update(digest=digest, size=len(packed))

        cases = [
            (other_content, "unexpected commit digest"),
            (set_size(10), "unexpected commit size"),
            (set_size(100_000), "broke off"),
            (set_size(-1), "impossible size"),
            (set_size(1 << 60), "impossible size"),
            (other_layer, "wrong diff id"),
            (lambda m: m["layers"].append(m["layers"][0]), "mismatched image rootfs"),
            (lambda m: m.update(config={"digest": "sha256:x"}), "without a valid digest"),
            (lambda m: m.update(schemaVersion=1), "unsupported manifest"),
            (lambda m: m["layers"][0].update(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "may not be distributed"),
        ]
        for number, (change, message) in enumerate(cases):
            lie(change, f"lie{number}")
            error = await refused(images, f"{server.host}/lie{number}:v1")
            assert message in error.message, error.message
            assert await images.list_images() == []
        server.add("m")
        good = server.manifests[("m", "v1")]
        digest = next(what for _, what in server.manifests if server.manifests.get(("m", what)) == good and what != "v1")
        server.manifests[("m", digest)] = good + b" "
        assert "unexpected digest" in (await refused(images, f"{server.host}/m@{digest}")).message

    run(tmp_path, server_class, scenario)


def test_a_hanging_server_is_given_up(tmp_path, server_class):
    async def scenario(server, images):
        server.add()
        for server.hang in ("/manifests/v1", "/blobs/"):
            async with asyncio.timeout(10):
                assert "i/o timeout" in (await refused(images, f"{server.host}/app:v1")).message

    run(tmp_path, server_class, scenario)


def test_nobody_there_and_bad_names(tmp_path):
    async def go():
        images = images_at(tmp_path / "node")
        error = await refused(images, "127.0.0.1:9/x:v1")
        assert error.code is Code.UNKNOWN
        assert error.message == (
            'failed to pull and unpack image "127.0.0.1:9/x:v1": failed to resolve reference "127.0.0.1:9/x:v1": failed to do request: '
            'Head "http://127.0.0.1:9/v2/x/manifests/v1": dial tcp 127.0.0.1:9: connect: connection refused'
        )
        error = await refused(images, "UPPER")
        assert (error.code, "must be lowercase" in error.message) == (Code.INVALID_ARGUMENT, True)

    asyncio.run(go())


def test_authorization_stays_with_its_host(tmp_path, server_class):
    async def go():
        server, other = await server_class(user="bob:pw").start(), await server_class().start()
        server.add()
        other.blobs = server.blobs
        server.redirect_to = other.url
        images = images_at(tmp_path / "node")
        await images.pull_image(spec(f"{server.host}/app:v1"), t.AuthConfig(username="bob", password="pw"))
        assert other.requests and not any("Authorization" in r.headers for r in other.requests)
        await server.stop()
        await other.stop()

    asyncio.run(go())


def test_mirrors(tmp_path, server_class, tar_of):
    async def go():
        mirror, registry = await server_class().start(), await server_class().start()
        mirror.add("hub/nginx", tag="latest")
        registry.add("app", config={"Cmd": ["/other"]}, layers=[tar_of({"other": b"1"})])
        registries = f"""
mirrors:
  docker.io: {{endpoint: ["{mirror.url}"], rewrite: {{"^library/(.*)": "hub/$1"}}}}
  "{registry.host}": {{endpoint: ["{mirror.url}"]}}
"""
        images = images_at(tmp_path / "node", registries)
        ref = await images.pull_image(spec("nginx"), t.AuthConfig(username="secret", password="secret"))
        assert ref.startswith("docker.io/library/nginx@sha256:")
        assert mirror.requests[0].query["ns"] == "docker.io"
        assert not any("Authorization" in r.headers for r in mirror.requests)
        await images.pull_image(spec(f"{registry.host}/app:v1"))  # the mirror has none of it: the registry is asked
        assert mirror.paths("/v2/app/") and registry.paths("/blobs/")
        (tmp_path / "node/registries.yaml").write_text("mirrors: [")
        assert "registries.yaml: not YAML" in (await refused(images, "nginx:2")).message
        await mirror.stop()
        await registry.stop()

    asyncio.run(go())


def test_the_last_caller_to_give_up_ends_the_download(tmp_path, server_class):
    async def scenario(server, images):
        server.add()
        server.hang = "/blobs/"
        name = spec(f"{server.host}/app:v1")
        one, two = (asyncio.ensure_future(images.pull_image(name)) for _ in range(2))
        await asyncio.sleep(0.1)
        one.cancel()
        await asyncio.sleep(0.05)
        assert images.pull_progress(name.image) == "resolving the reference"
        two.cancel()
        await asyncio.gather(one, two, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert not images.progress and images.pull_progress(name.image) is None
        server.hang = ""
        await images.pull_image(name)

    run(tmp_path, server_class, scenario)


def test_zstd_layers_of_several_frames(tmp_path, server_class):
    async def scenario(server, images):
        server.add(pack=lambda d: zstandard.compress(d[:600]) + zstandard.compress(d[600:]))
        await images.pull_image(spec(f"{server.host}/app:v1"))

    run(tmp_path, server_class, scenario)


def certificate(folder):
    """(certificate file, key file) of a server at 127.0.0.1, signed by itself."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - dt.timedelta(hours=1), now + dt.timedelta(hours=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    made = made.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*plain))
    return folder / "cert.pem", folder / "key.pem"


def test_tls(tmp_path, server_class):
    import ssl

    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    async def go():
        server = await server_class().start(context)
        server.add()
        name = f"{server.host}/app:v1"
        trusting = f"configs: {{'{server.host}': {{tls: {{ca_file: {cert}}}}}}}"
        skipping = f"configs: {{'{server.host}': {{tls: {{insecure_skip_verify: true}}}}}}"
        await images_at(tmp_path / "a", trusting).pull_image(spec(name))
        await images_at(tmp_path / "b", skipping).pull_image(spec(name))
        strict = images_at(tmp_path / "c", f"mirrors: {{'{server.host}': {{endpoint: ['{server.url}']}}}}")
        assert "tls: failed to verify certificate" in (await refused(strict, name)).message
        lost = images_at(tmp_path / "d", f"configs: {{'{server.host}': {{tls: {{ca_file: /nowhere}}}}}}")
        assert "TLS configuration for" in (await refused(lost, name)).message
        other = await server_class().start()  # a redirect from TLS to plain HTTP is refused
        server.redirect_to = other.url
        assert "refusing redirect" in (await refused(images_at(tmp_path / "e", trusting), name)).message
        assert not other.requests
        await server.stop()
        await other.stop()

    asyncio.run(go())


def test_a_token_server_must_not_weaken_tls(tmp_path):
    from kogia.runtime.images.auth import Authorizer, Denied
    from kogia.runtime.images.config import Credentials

    async def go():
        authorizer = Authorizer(Credentials("u", "p"), secure=True)
        with pytest.raises(Denied, match="unacceptable token server"):
            await authorizer.answer(None, 'Bearer realm="http://127.0.0.1:1/token",service="x"', "repository:a:pull")

    asyncio.run(go())
