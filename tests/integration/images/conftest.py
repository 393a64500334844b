"""Registries on loopback: Debian's docker-registry, and one in Python that can lie, break off, redirect and ask for tokens."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import tarfile
import time
import warnings
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from kogia.runtime.images.platforms import machine


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@dataclass
class Server:
    """A registry in this process. `blobs` and `manifests` may be changed to lie; the knobs break it."""

    blobs: dict = field(default_factory=dict)
    manifests: dict = field(default_factory=dict)  #: by (repository, tag or digest)
    requests: list = field(default_factory=list)
    break_after: int = 0  #: bytes after which each blob answer breaks off
    no_ranges: bool = False
    hang: str = ""  #: path fragment whose requests never end
    fail_times: dict = field(default_factory=dict)  #: path fragment -> [status, how often]
    redirect_to: str = ""  #: base URL to send blob requests to
    token: str = ""  #: bearer token asked for
    user: str = ""  #: "user:password", asked for by the token server, or by Basic if no token is set
    slow_s: float = 0.0
    url: str = ""
    concurrent: int = 0
    most_concurrent: int = 0

    @property
    def host(self):
        return self.url.rpartition("/")[2]

    def add(self, repository="app", tag="v1", layers=None, config=None, pack=gzip.compress, index=False, types=()):
        """Make an image of tars; returns (manifest digest, config digest)."""
        layers = layers if layers is not None else [make_tar({"hello": b"hi"})]
        document = {"os": "linux", "architecture": machine()[0], "config": config or {"Cmd": ["/hello"]}}
        document["rootfs"] = {"type": "layers", "diff_ids": [digest_of(x) for x in layers]}
        raw = json.dumps(document).encode()
        packed = [pack(x) for x in layers]
        for blob in (raw, *packed):
            self.blobs[digest_of(blob)] = blob
        manifest = {
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(raw), "size": len(raw)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest_of(p), "size": len(p)} for p in packed],
        }
        data = json.dumps(manifest).encode()
        self.put(repository, tag, data)
        if index:
            entries = [
                {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "0" * 64, "size": 1, "platform": {"os": "linux", "architecture": "mips"}},
                {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest_of(data), "size": len(data), "platform": {"os": "linux", "architecture": machine()[0]}},
            ]
            data = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}).encode()
            self.put(repository, tag, data)
        return digest_of(data), digest_of(raw)

    def put(self, repository, tag, data):
        self.manifests[(repository, tag)] = self.manifests[(repository, digest_of(data))] = data

    def paths(self, fragment=""):
        return [f"{r.method} {r.path}" for r in self.requests if fragment in r.path]

    async def start(self, tls=None):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.handle)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self):
        await self.runner.cleanup()

    async def handle(self, request):
        self.requests.append(request)
        if self.hang and self.hang in request.path:
            await asyncio.sleep(3600)
        for fragment, left in self.fail_times.items():
            if fragment in request.path and left[1] > 0:
                left[1] -= 1
                return web.Response(status=left[0], headers={"Retry-After": "0"})
        if request.path == "/token":
            return self.give_token(request)
        if (refusal := self.refusal(request)) is not None:
            return refusal
        parts = request.path.removeprefix("/v2/").rsplit("/", 2)
        if len(parts) != 3:
            return web.Response(status=404)
        repository, kind, what = parts
        if kind == "manifests":
            data = self.manifests.get((repository, what))
            if data is None:
                return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}, status=404)
            media = json.loads(data).get("mediaType") or "application/vnd.oci.image.manifest.v1+json"
            return web.Response(body=data, content_type=media, headers={"Docker-Content-Digest": digest_of(data)})
        if self.redirect_to:
            return web.Response(status=307, headers={"Location": f"{self.redirect_to}{request.path}"})
        return await self.blob(request, what)

    def give_token(self, request):
        if self.user and request.headers.get("Authorization") != "Basic " + base64.b64encode(self.user.encode()).decode():
            return web.Response(status=401)
        if request.query.get("scope", "").startswith("repository:"):
            return web.json_response({"token": self.token, "expires_in": 300})
        return web.Response(status=400)

    def refusal(self, request):
        given = request.headers.get("Authorization", "")
        if self.token and given != f"Bearer {self.token}":
            challenge = f'Bearer realm="{self.url}/token",service="test",scope="repository:{request.path.split("/")[2]}:pull"'
        elif self.user and not self.token and given != "Basic " + base64.b64encode(self.user.encode()).decode():
            challenge = 'Basic realm="test"'
        else:
            return None
        body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        return web.json_response(body, status=401, headers={"WWW-Authenticate": challenge})

    async def blob(self, request, what):
        data = self.blobs.get(what)
        if data is None:
            return web.Response(status=404)
        start = 0
        if (wanted := request.headers.get("Range")) and not self.no_ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        headers = {"Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        answer = web.StreamResponse(status=206 if start else 200, headers=headers)
        self.concurrent += 1
        self.most_concurrent = max(self.most_concurrent, self.concurrent)
        try:
            await answer.prepare(request)
            await asyncio.sleep(self.slow_s)
            if self.break_after:
                await answer.write(data[start : start + self.break_after])
                if start + self.break_after < len(data):
                    await asyncio.sleep(0.01)
                    request.transport.abort()
                return answer
            await answer.write(data[start:])
            return answer
        finally:
            self.concurrent -= 1


@pytest.fixture
def server_class():
    return Server


@pytest.fixture
def tar_of():
    return make_tar


@pytest.fixture(scope="session")
def start_registry(tmp_path_factory):
    """A function starting Debian's docker-registry; returns its host:port. Ended with the session."""
    running = []

    def start(password=""):
        folder = tmp_path_factory.mktemp("registry")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        auth = ""
        if password:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import crypt

                hashed = crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
            (folder / "htpasswd").write_text(f"alice:{hashed}\n")
            auth = f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}', secret: x}}\n{auth}"
        )
        log = open(folder / "log", "wb")  # noqa: SIM115
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
        running.append(process)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise AssertionError((folder / "log").read_text())
        return f"127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def layout(tmp_path_factory):
    """An OCI layout of two layers made by umoci, tag v1."""
    folder = tmp_path_factory.mktemp("layout")
    image, bundle = f"{folder}/oci:v1", folder / "bundle"

    def umoci(*arguments):
        subprocess.run(["umoci", *map(str, arguments)], check=True, capture_output=True)

    umoci("init", "--layout", folder / "oci")
    umoci("new", "--image", image)
    for number in (1, 2):
        umoci("unpack", "--image", image, bundle)
        (bundle / f"rootfs/file{number}").write_bytes(os.urandom(50_000))
        if number == 2:
            (bundle / "rootfs/file1").unlink()
        umoci("repack", "--image", image, bundle)
        subprocess.run(["rm", "-rf", str(bundle)], check=True)
    umoci("config", "--image", image, "--config.cmd", "/file2")
    return f"oci:{image}"
