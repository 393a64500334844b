"""The launcher of a checkout: what it says where it cannot work, and that it costs next to nothing once it has set things up."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("bash", "readlink", "id", "mkdir", "flock", "touch", "env", "rm", "sh", "setpriv")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The few files the launcher looks at, in a place everyone may read."""
    path = tmp_path / "checkout"
    (path / "src" / "kogia").mkdir(parents=True)
    (path / "tools").mkdir()
    for name in ("kogia", "pyproject.toml", "tools/build_data.py", "src/kogia/__init__.py"):
        shutil.copy2(ROOT / name, path / name)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return path


@pytest.fixture
def bin_dir(tmp_path: Path) -> Callable[..., Path]:
    """A PATH of its own: the named tools, and scripts given as text."""

    def make(*without: str, **scripts: str) -> Path:
        path = tmp_path / "bin"
        path.mkdir()
        for name in TOOLS:
            if name not in without:
                (path / name).symlink_to(shutil.which(name) or "")
        for name, text in scripts.items():
            (path / name.replace("_", "-")).write_text(f"#!{shutil.which('bash')}\n{text}\n")
            (path / name.replace("_", "-")).chmod(0o755)
        return path

    return make


def run(checkout: Path, path: Path | str, *words: str, uid: int = 0) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), "HOME": "/nowhere", "KOGIA_PYTHON": ""}
    command = [str(checkout / "kogia"), *words]
    if uid:
        command = [shutil.which("setpriv") or "", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *command]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, cwd="/")


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, (done.stdout, done.stderr)
    return done.stderr


def pretend_missing(checkout: Path) -> None:
    """As if this machine had no conmon, wherever it looks."""
    text = (checkout / "kogia").read_text()
    assert "conmon:conmon:conmon" in text
    (checkout / "kogia").write_text(text.replace("conmon:conmon:conmon", "no-conmon:conmon:conmon"))


def test_without_a_package_manager_it_lists_what_is_missing(checkout, bin_dir):
    pretend_missing(checkout)
    said = one_line(run(checkout, bin_dir(python3="exit 0"), "status"))
    assert "missing on this machine:" in said and "no-conmon" in said and "package manager" in said


def test_not_root_it_says_what_root_must_install(checkout, bin_dir):
    pretend_missing(checkout)
    (checkout / ".venv").mkdir()
    os.chown(checkout / ".venv", 65534, 65534)
    said = one_line(run(checkout, bin_dir(apt_get="exit 1", python3="exit 0"), "status", uid=65534))
    assert "run as root: apt-get install" in said and " conmon" in said


def test_not_root_in_somebody_elses_checkout(checkout, bin_dir):
    said = one_line(run(checkout, bin_dir(), "status", uid=65534))
    assert "cannot write" in said and "KOGIA_VENV" in said


def test_packages_that_cannot_be_installed(checkout, bin_dir):
    pretend_missing(checkout)
    done = run(checkout, bin_dir(apt_get="exit 100", python3="exit 0"), "status")
    assert done.returncode == 1 and "could not install" in done.stderr.splitlines()[-1]


def test_a_python_without_venv_is_passed_over(checkout, bin_dir):
    """The first python3 of the PATH cannot make environments: the next one does, here a stand-in that writes down what it was asked."""
    log = checkout / "asked"
    good = f'echo "$*" >> {log}; case "$*" in *" venv "*) mkdir -p "${{@: -1}}/bin"; cp "$0" "${{@: -1}}/bin/python";; *"import pip"*) [ -e {log}.pip ];; esac'
    done = run(checkout, bin_dir(python3="exit 1", conmon="", busybox="", crun="", cp='exec /bin/cp "$@"', **{"python3.12": good}), "status", "-o", "json")
    assert done.returncode == 0, done.stderr
    asked = log.read_text()
    assert "-m venv --clear" in asked and "-m pip install" in asked and asked.rstrip().endswith("-m kogia.main status -o json")
    assert "set-up done" in done.stderr
    again = run(checkout, checkout.parent / "bin", "get", "pods")
    assert again.returncode == 0 and again.stderr == "" and log.read_text().endswith("-m kogia.main get pods\n")


def test_two_at_once_set_up_once(checkout, bin_dir):
    log = checkout / "asked"
    good = f'echo "$*" >> {log}; case "$*" in *" venv "*) mkdir -p "${{@: -1}}/bin"; cp "$0" "${{@: -1}}/bin/python"; sleep 0.3;; *"import pip"*) exit 1;; esac'
    path = bin_dir(python3=good, conmon="", busybox="", crun="", cp='exec /bin/cp "$@"', sleep='exec /bin/sleep "$@"')
    env = {"PATH": str(path), "HOME": "/nowhere"}
    both = []
    for _ in range(3):
        both.append(subprocess.Popen([checkout / "kogia", "status"], env=env, stderr=subprocess.PIPE, text=True))
        time.sleep(0.1)
    said = [process.communicate(timeout=30)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], said
    assert log.read_text().count("-m pip install") == 1 and sum("set-up done" in text for text in said) == 1


def test_it_costs_little_when_warm(checkout, bin_dir):
    venv = checkout / ".venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "python").symlink_to("/bin/true")
    (checkout / ".venv" / ".ready").touch()
    path = bin_dir()
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assert run(checkout, path, "version").returncode == 0
        times.append(time.perf_counter() - started)
    assert statistics.median(times) < 0.015


def test_it_is_found_by_symbolic_link_and_from_anywhere(checkout, bin_dir):
    venv = checkout / ".venv" / "bin"
    venv.mkdir(parents=True)
    path = bin_dir()
    (venv / "python").write_text(f"#!{shutil.which('bash')}\necho ok \"$*\"\n")
    (venv / "python").chmod(0o755)
    (checkout / ".venv" / ".ready").touch()
    (path / "k").symlink_to(checkout / "kogia")
    env = {"PATH": str(path)}
    for command, place in (("k a b", "/"), ("./kogia a b", checkout), ("../checkout/kogia a b", checkout / "src" / ".."), ("bash kogia a b", checkout)):
        done = subprocess.run([shutil.which("bash") or "", "-c", command], env=env, cwd=place, capture_output=True, text=True)
        assert done.stdout == "ok -m kogia.main a b\n", (command, done.stderr)
