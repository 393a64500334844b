"""The registry without a network: requests per second of CPU through `Registry.serve`. `python bench/registry.py [--objects 28000]`.

Prints one line of JSON: creates and gets per second, a whole list, its first page, one event to 200 watchers, memory.
Nothing is authenticated, admitted or sent, so what a server adds is not in here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from kogia.api.resources import find
from kogia.apiserver.interface import AdmissionAttributes, RequestInfo
from kogia.apiserver.registry import open_registry
from kogia.store.sqlite import SqliteStore
from kogia.wire.messages import Request, UserInfo

USER = UserInfo("bench", groups=("system:masters",))
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "y-"}, "data": {"k": "x" * 200}}
POD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "y-", "labels": {"app": "y"}},
    "spec": {"nodeName": "nonode", "terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}}]},
}


class Open:
    async def mutate(self, attributes: AdmissionAttributes) -> None: ...

    async def validate(self, attributes: AdmissionAttributes) -> None: ...


def request(method: str, verb: str, plural: str, name: str = "", query: str = "", body: Any = None) -> tuple[Request, RequestInfo]:
    path = f"/api/v1/namespaces/default/{plural}" + (f"/{name}" if name else "")
    headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "bench/1"}
    info = RequestInfo(True, verb, path, "", "v1", plural, "", "default", name, (), find("", "v1", plural))
    return Request(method, path, query, headers, b"" if body is None else json.dumps(body).encode(), user=USER), info


def rss_mib() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


async def creates(registry: Any, plural: str, body: Any, count: int, writers: int = 16) -> float:
    async def write() -> None:
        for _ in range(count // writers):
            await registry.serve(*request("POST", "create", plural, body=body))

    begun = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    return count / (time.perf_counter() - begun)


async def fan_out(registry: Any, watchers: int) -> float:
    """Milliseconds from the write's begin until the last of `watchers` has the event."""
    streams = [(await registry.serve(*request("GET", "watch", "secrets", query="watch=1"))).stream for _ in range(watchers)]
    tasks = [asyncio.ensure_future(anext(s)) for s in streams]
    await asyncio.sleep(0.1)
    begun = time.perf_counter()
    await registry.serve(*request("POST", "create", "secrets", body={"metadata": {"name": f"s{watchers}-{begun}"}}))
    await asyncio.gather(*tasks)
    took = (time.perf_counter() - begun) * 1000
    for stream in streams:
        await stream.aclose()
    return took


async def measure(folder: Path, objects: int) -> dict[str, float]:
    results: dict[str, float] = {"rss_start_mib": rss_mib()}
    store = SqliteStore(folder / "db")
    registry = await open_registry(store, admission=Open())
    results["create_configmap_per_s"] = await creates(registry, "configmaps", CONFIG_MAP, objects)
    results["create_pod_per_s"] = await creates(registry, "pods", POD, 2000)
    results["rss_mib"] = rss_mib()
    listed = await registry.serve(*request("GET", "list", "configmaps"))
    name = json.loads(listed.body)["items"][0]["metadata"]["name"]
    results["list_bytes"] = len(listed.body)
    begun = time.perf_counter()
    for _ in range(20_000):
        await registry.serve(*request_get(name))
    results["get_per_s"] = 20_000 / (time.perf_counter() - begun)
    for label, query in (("list_ms", ""), ("page_500_ms", "limit=500"), ("list_by_label_ms", "labelSelector=a%3Db")):
        took = []
        for _ in range(3):
            begun = time.perf_counter()
            await registry.serve(*request("GET", "list", "configmaps", query=query))
            took.append((time.perf_counter() - begun) * 1000)
        results[label] = min(took)
    results["fan_out_200_ms"] = min([await fan_out(registry, 200) for _ in range(3)])
    results["rss_end_mib"] = rss_mib()
    await registry.close()
    await store.close()
    begun = time.perf_counter()
    store = SqliteStore(folder / "db")
    registry = await open_registry(store, admission=Open())
    results["reopen_ms"] = (time.perf_counter() - begun) * 1000
    await registry.close()
    await store.close()
    results["rss_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {k: round(v, 2) for k, v in results.items()}


_gets: dict[str, RequestInfo] = {}


def request_get(name: str) -> tuple[Request, RequestInfo]:
    """A fresh Request as a connection would make it; its info is made once, for the chain's work is not measured here."""
    made = _gets.get(name)
    if made is None:
        made = _gets[name] = request("GET", "get", "configmaps", name)[1]
    return Request("GET", made.path, "", {"accept": "application/json", "user-agent": "bench/1"}, user=USER), made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=28_000)
    options = parser.parse_args()
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(measure(Path(folder), options.objects))))


if __name__ == "__main__":
    main()
