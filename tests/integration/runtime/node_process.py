"""A node's runtime in a process of its own, to be killed: `node_process.py <base> <rootfs> <handler> <how>`.

Prints one line of JSON when it is ready. `how`: `run` starts two containers and waits; `churn` makes Pods without end.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "src"))


def conftest() -> Any:
    spec = importlib.util.spec_from_file_location("runtime_conftest", HERE / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def main(base: str, rootfs: str, handler: str, how: str) -> None:
    helpers = conftest()
    lab = helpers.Lab(Path(base), Path(rootfs), handler)
    async with lab.open() as runtime:
        if how == "run":
            long = lab.script("echo up; trap 'exit 9' TERM; while :; do sleep 0.05; done", name="long")
            short = lab.script("echo up; sleep 1; exit 4", name="short")
            sandbox, ids = await helpers.started(runtime, lab.pod(), long, short)
            pids = [runtime.ctx.container(cid).pid for cid in ids]
            print(json.dumps({"sandbox": sandbox, "ids": ids, "pids": pids}), flush=True)
            await asyncio.sleep(60)
        print("{}", flush=True)
        number = 0

        async def churn() -> None:
            nonlocal number
            while True:
                number += 1
                sandbox, _ = await helpers.started(runtime, lab.pod(f"p{number}"), lab.container("sleep", "60"))
                if number % 3:
                    await runtime.remove_pod_sandbox(sandbox)

        await asyncio.gather(*(churn() for _ in range(3)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
