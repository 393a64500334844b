"""postStart and preStop: exec in the container, an HTTP request to the Pod, or a sleep. Source: kubelet lifecycle/handlers.go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from kogia.cri.errors import CriError
from kogia.cri.interface import RuntimeService
from kogia.kubelet.http_get import RequestError, http_get

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
    """Any answer will do: Kubernetes does not look at the status of a hook's request."""
    host = get.get("host") or (pod_ips[0] if pod_ips else "127.0.0.1")
    try:
        await http_get(get, host, resolve_port(get.get("port"), container))
    except RequestError as error:
        raise HookError(str(error)) from error
