"""Images made on the spot from Debian packages, and pushed to a registry on loopback.

An image is a handful of programs with the shared libraries they need: enough for the walk-throughs' httpd, nginx, busybox, debian
(bash) and watcher. Nothing is downloaded.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

PASSWD = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

HTTPD_CONF = """ServerRoot /usr/lib/apache2
ServerName localhost
Listen 80
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule dir_module modules/mod_dir.so
LoadModule mime_module modules/mod_mime.so
TypesConfig /etc/mime.types
User www-data
Group www-data
PidFile /tmp/httpd.pid
DocumentRoot /var/www/html
DirectoryIndex index.html
ErrorLog /proc/self/fd/2
LogFormat "%h %r %>s" common
CustomLog /proc/self/fd/1 common
<Directory />
  Require all granted
</Directory>
"""

NGINX_CONF = """daemon off;
user www-data;
worker_processes 1;
pid /tmp/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 64; }
http {
  access_log /dev/stdout;
  server { listen 80; root /usr/share/nginx/html; }
}
"""


@dataclass
class Recipe:
    """What goes into an image: programs (with their libraries), files by path, links, and the OCI config."""

    programs: list[str] = field(default_factory=list)
    busybox: bool = True
    files: dict[str, str | bytes] = field(default_factory=dict)
    config: dict[str, object] = field(default_factory=dict)


def recipes() -> dict[str, Recipe]:
    """Repository name → recipe."""
    return {
        "library/busybox": Recipe(config={"Cmd": ["sh"]}),
        "library/debian": Recipe(programs=["/bin/bash"], config={"Cmd": ["bash"]}),
        "library/httpd": Recipe(
            programs=["/usr/sbin/apache2", "/bin/bash", *(f"/usr/lib/apache2/modules/mod_{m}.so" for m in ("mpm_event", "authz_core", "dir", "mime"))],
            files={"/etc/httpd.conf": HTTPD_CONF, "/etc/mime.types": "text/html html\n", "/var/www/html/index.html": "<html><body><h1>It works!</h1></body></html>\n"},
            config={"Cmd": ["apache2", "-DFOREGROUND", "-f", "/etc/httpd.conf"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGTERM"},
        ),
        "library/nginx": Recipe(
            programs=["/usr/sbin/nginx", "/bin/bash"],
            files={"/etc/nginx/nginx.conf": NGINX_CONF, "/usr/share/nginx/html/index.html": "<h1>Welcome to nginx!</h1>\n", "/var/lib/nginx/.keep": "", "/var/log/nginx/.keep": ""},
            config={"Cmd": ["nginx"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"},
        ),
        "afakharany/watcher": Recipe(
            programs=["/bin/bash"],
            config={"Cmd": ["sh", "-c", "while true; do wget -q -O - http://localhost/ || echo waiting; sleep 1; done"]},
        ),
    }  # fmt: skip


def libraries(program: str) -> set[str]:
    """The shared objects `ldd` names, the loader among them."""
    text = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return set(re.findall(r"(/\S+)(?= \(0x)", text))


def rootfs_tar(recipe: Recipe) -> bytes:
    """One deterministic uncompressed layer."""
    wanted: dict[str, Path] = {}
    for program in recipe.programs:
        wanted[program] = Path(program)
        wanted.update((lib, Path(lib)) for lib in libraries(program))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        _folders(archive)
        for name, path in sorted(wanted.items()):
            _add(archive, _merged(name), path.read_bytes(), 0o755)
        if recipe.busybox:
            busybox = shutil.which("busybox") or "/bin/busybox"
            _add(archive, "usr/bin/busybox", Path(busybox).read_bytes(), 0o755)
            for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True).stdout.split():
                if _merged(f"/bin/{applet}") not in {_merged(w) for w in wanted} and applet != "busybox":
                    _link(archive, f"usr/bin/{applet}", "busybox")
        for name, content in {"/etc/passwd": PASSWD, "/etc/group": GROUP, **recipe.files}.items():
            _add(archive, name.lstrip("/"), content.encode() if isinstance(content, str) else content, 0o644)
    return out.getvalue()


def _merged(name: str) -> str:
    """Debian's merged /usr: /bin, /sbin, /lib and /lib64 are links into it."""
    return re.sub(r"^/(bin|sbin|lib|lib64)/", r"/usr/\1/", name).lstrip("/")


def _folders(archive: tarfile.TarFile) -> None:
    for name, mode in (("usr", 0o755), ("usr/bin", 0o755), ("usr/sbin", 0o755), ("usr/lib", 0o755), ("usr/lib64", 0o755), ("etc", 0o755),
                       ("tmp", 0o1777), ("root", 0o700), ("var", 0o755), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755)):  # fmt: skip
        info = tarfile.TarInfo(name)
        info.type, info.mode = tarfile.DIRTYPE, mode
        archive.addfile(info)
    for name in ("bin", "sbin", "lib", "lib64"):
        _link(archive, name, f"usr/{name}")


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    archive.addfile(info)


def push(registry: str, repository: str, tags: Iterable[str], recipe: Recipe) -> str:
    """Push one image over plain HTTP to `registry` (host:port); returns the manifest's digest."""
    layer = rootfs_tar(recipe)
    packed = gzip.compress(layer, 1, mtime=0)
    config = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine), "os": "linux",
        "config": {"Env": [PATH], **recipe.config}, "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }).encode()  # fmt: skip
    for blob in (packed, config):
        _upload(registry, repository, blob)
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _digest(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": _digest(packed), "size": len(packed)}],
    }).encode()  # fmt: skip
    for tag in tags:
        _request("PUT", f"http://{registry}/v2/{repository}/manifests/{tag}", manifest, "application/vnd.oci.image.manifest.v1+json")
    return _digest(manifest)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _upload(registry: str, repository: str, blob: bytes) -> None:
    location = _request("POST", f"http://{registry}/v2/{repository}/blobs/uploads/", b"")
    joint = "&" if "?" in location else "?"
    _request("PUT", f"{location}{joint}digest={_digest(blob)}", blob, "application/octet-stream")


def _request(method: str, url: str, body: bytes, content_type: str = "") -> str:
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": content_type} if content_type else {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return str(answer.headers.get("Location") or "")
