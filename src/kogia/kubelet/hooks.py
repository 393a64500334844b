"""postStart and preStop: exec in the container, an HTTP request to the Pod, or a sleep. Source: kubelet lifecycle/handlers.go."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from kogia.cri.errors import CriError
from kogia.cri.interface import RuntimeService

Obj = dict[str, Any]


class HookError(Exception):
    """The hook failed; the message is fit for an event."""


def resolve_port(port: Any, container: Obj) -> int:
    """A number, or the name of one of the container's ports. Errors: HookError."""
    if isinstance(port, int):
        return port
    for declared in container.get("ports") or []:
        if declared.get("name") == port:
            return int(declared["containerPort"])
    if str(port).isdigit():
        return int(port)
    raise HookError(f"couldn't find port: {port} in container {container['name']}")


async def run(
    hook: Obj, runtime: RuntimeService, container_id: str, container: Obj, pod_ips: Sequence[str], *, timeout_s: float = 0
) -> None:
    """Errors: HookError. `timeout_s` 0 = none."""
    try:
        async with asyncio.timeout(timeout_s or None):
            if hook.get("exec"):
                result = await runtime.exec_sync(container_id, list(hook["exec"].get("command") or []), timeout_s)
                if result.exit_code:
                    output = (result.stdout + result.stderr)[:1024].decode("utf-8", "replace")
                    raise HookError(f'command {hook["exec"].get("command")} exited with {result.exit_code}: {output!r}')
            elif hook.get("httpGet"):
                await _get(hook["httpGet"], container, pod_ips)
            elif hook.get("sleep"):
                await asyncio.sleep(float(hook["sleep"]["seconds"]))
    except CriError as error:
        raise HookError(error.message) from error
    except TimeoutError as error:
        raise HookError("did not finish within the grace period") from error


async def _get(get: Obj, container: Obj, pod_ips: Sequence[str]) -> None:
    host = get.get("host") or (pod_ips[0] if pod_ips else "")
    status = await http_get(get, host, resolve_port(get.get("port"), container))
    if status >= 400:
        raise HookError(f"HTTP status {status}")


async def http_get(get: Obj, host: str, port: int) -> int:
    """The status code of one GET, made by hand so that no HTTP library is loaded for it. Errors: HookError, TimeoutError by the caller."""
    context = None
    if (get.get("scheme") or "HTTP").upper() == "HTTPS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    path = get.get("path") or "/"
    headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/1.37", "Accept": "*/*", "Connection": "close"}
    for header in get.get("httpHeaders") or []:
        headers[header["name"]] = header["value"]
    lines = [f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    writer = None
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.write("\r\n".join(lines).encode())
        words = (await reader.readline()).split()
        return int(words[1])
    except (OSError, IndexError, ValueError) as error:
        raise HookError(f'Get "{path}": {error}') from error
    finally:
        if writer is not None:
            writer.close()
