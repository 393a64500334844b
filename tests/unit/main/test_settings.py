"""Options to configuration: saved values, refusals with one line, names and networks."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kogia.base.cluster import ClusterConfig, ConfigError, load
from kogia.main import entry, processes, settings


def options(folder: Path, **given: object) -> argparse.Namespace:
    values = {"name": None, "data_dir": str(folder), "port": None, "kubelet_port": None, "node_name": None, "service_cidr": None, "pod_cidr": None}
    return argparse.Namespace(**{**values, **given})


def test_saved_settings_come_back(tmp_path: Path) -> None:
    made = settings.resolve(options(tmp_path, name="two", port=7443, pod_cidr="10.77.0.0/16"))
    made.save()
    assert load(tmp_path) == made
    again = settings.resolve(options(tmp_path))
    assert (again.name, again.port, again.pod_cidr) == ("two", 7443, "10.77.0.0/16")


def test_what_cannot_change_is_refused(tmp_path: Path) -> None:
    settings.resolve(options(tmp_path, pod_cidr="10.77.0.0/16")).save()
    with pytest.raises(ConfigError, match="--pod-cidr cannot change"):
        settings.resolve(options(tmp_path, pod_cidr="10.78.0.0/16"))
    with pytest.raises(ConfigError, match="is named kogia, not other"):
        settings.resolve(options(tmp_path, name="other"))
    with pytest.raises(ConfigError, match="is running with other settings"):
        settings.resolve(options(tmp_path, port=1234), running=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "Upper"}, "--name Upper: use"),
        ({"port": 70000}, "--port 70000: use a number"),
        ({"service_cidr": "10.0.0.0"}, "--service-cidr 10.0.0.0: use a prefix length"),
        ({"pod_cidr": "banana"}, "--pod-cidr banana:"),
        ({"pod_cidr": "10.96.0.0/16"}, "overlap"),
    ],
)
def test_bad_options(tmp_path: Path, given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.resolve(options(tmp_path, **given))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_configuration_says_so(tmp_path: Path) -> None:
    ClusterConfig(data_dir=str(tmp_path)).save()
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        load(tmp_path)


def test_a_pid_file_names_one_very_process(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        pid_file = tmp_path / "x.pid"
        processes.write_pid_file(pid_file, child.pid)
        assert processes.running(pid_file) == child.pid
        pid_file.write_text(f"{child.pid} 1\n")
        assert processes.running(pid_file) is None, "another start time is another process"
        processes.write_pid_file(pid_file, child.pid)
        assert processes.stop(pid_file) and not pid_file.exists()
        assert processes.start_ticks(child.pid) is None
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(("words", "own"), [([], True), (["-f"], True), (["--component", "node"], True), (["web"], False), (["-l", "a=b"], False), (["-f", "web"], False)])
def test_logs_without_a_pod_are_kogias_own(words: list[str], own: bool) -> None:
    assert entry._is_own_logs(words) is own


def test_start_up_imports_little() -> None:
    code = "import sys, kogia.main.entry as e; e.main(['version', '--client']); print(sorted(m for m in sys.modules if m in ('asyncio', 'yaml', 'ssl', 'aiohttp', 'cryptography', 'orjson')))"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")}
    started = time.monotonic()
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env).stdout
    assert text.splitlines()[-1] == "[]", text
    assert time.monotonic() - started < 5
