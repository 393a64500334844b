"""`./kogia test`: every check there is, in the order that fails soonest; one closing line, non-zero if anything failed.

Steps: import directions and lint, unit, contract and meta tests, integration tests (root), walk-throughs (root, real kubectl where there is one).
Arguments are passed on to pytest (`./kogia test tests/unit -k store`), and then only that is run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(title: str, command: list[str]) -> bool:
    print(f"==> {title}", flush=True)
    started = time.monotonic()
    ok = subprocess.run(command, cwd=ROOT).returncode in ((0, 5) if "pytest" in command else (0,))
    print(f"==> {title}: {'passed' if ok else 'FAILED'} after {time.monotonic() - started:.0f} s", flush=True)
    return ok


def main() -> int:
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    if len(sys.argv) > 1:
        return subprocess.run([*pytest, *sys.argv[1:]], cwd=ROOT).returncode
    tools = Path(sys.executable).parent
    steps = [
        ("import directions", [str(tools / "lint-imports")]),
        ("lint", [str(tools / "ruff"), "check", "."]),
        ("types", [str(tools / "mypy")]),
        ("unit, contract and meta tests", [*pytest, "tests/unit", "tests/contract", "tests/meta"]),
    ]
    if os.geteuid() == 0:
        steps += [("integration tests", [*pytest, "tests/integration"]), ("walk-throughs", [*pytest, "tests/walkthrough"])]
    else:
        print("==> not root: the integration and walk-through tests are left out; run as root for all of them", flush=True)
    failed = [title for title, command in steps if not run(title, command)]
    print(f"==> {len(steps) - len(failed)} of {len(steps)} steps passed" + (f"; failed: {', '.join(failed)}" if failed else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
