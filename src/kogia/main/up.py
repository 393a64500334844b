"""`kogia up | down | status`: the cluster's processes, started and stopped together.

`up` is idempotent: it starts what does not run and waits until the API answers and the node is Ready. The processes tell that they are ready by a
file in the run folder (`server.ready`, `node.ready`) that `up` removes before it starts them. Commands that change the cluster's processes wait
for each other (`claim.lock`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

from kogia.base.cluster import ClusterConfig, ConfigError
from kogia.main import claim, doctor, processes, settings

PROCESSES = ("server", "node")


class StartFailed(Exception):
    """A process ended or did not become ready in time; the message is for the person at the terminal."""


def command_of(process: str, config: ClusterConfig) -> list[str]:
    return [sys.executable, "-m", "kogia.main", process, "--data-dir", config.data_dir]


def environment() -> dict[str, str]:
    """The children find this package even when it is not installed, and glibc gives freed memory back sooner."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    env = dict(os.environ)
    env["PYTHONPATH"] = root + (":" + env["PYTHONPATH"] if env.get("PYTHONPATH") else "")
    env.setdefault("MALLOC_ARENA_MAX", "2")
    env["PATH"] = doctor.SEARCH
    env.pop("KUBECONFIG", None)
    return env


def ready_file(config: ClusterConfig, process: str) -> str:
    return str(config.paths.run / f"{process}.ready")


def up(options: argparse.Namespace) -> int:
    problem = doctor.first_problem()
    if problem:
        raise ConfigError(problem)
    config, _ = checked(options)
    if options.foreground:
        return foreground(config, options)
    with claim.lock(config):
        started = time.monotonic()
        config, alive = checked(options)
        save(config)
        for process in PROCESSES:
            if process not in alive:
                start(process, config)
        wait_ready(config, "server", options.timeout)
        add_context(config, options)
        wait_ready(config, "node", options.timeout)
    if not options.quiet:
        took = time.monotonic() - started
        state = "was running" if len(alive) == len(PROCESSES) else f"is up after {took:.1f} s"
        print(f"Cluster {config.name} {state}: API server {config.server_url}, node {config.node_name} Ready, kubectl context {config.context}.")
    return 0


def checked(options: argparse.Namespace) -> tuple[ClusterConfig, set[str]]:
    """(The configuration to run with, the processes that run already). Changes nothing. Errors: ConfigError."""
    _, data_dir = settings.locate(options)
    saved = settings.load(data_dir)
    alive = {p for p in PROCESSES if saved and processes.running(saved.paths.pid_file(p))}
    config = settings.resolve(options, running=bool(alive))
    claim.check(config)
    if "server" not in alive and not settings.port_free(config.port):
        raise ConfigError(f"port {config.port} is in use: stop what listens there, or choose another with --port")
    if "node" not in alive and not settings.port_free(config.kubelet_port):
        raise ConfigError(f"port {config.kubelet_port} is in use: stop what listens there, or choose another with --kubelet-port")
    if options.foreground and alive:
        raise ConfigError("the cluster runs in the background: run `kogia down` first")
    return config, alive


def save(config: ClusterConfig) -> None:
    """The first traces of a start: the saved configuration, and the name taken on this machine."""
    config.save()
    claim.take(config)
    config.paths.run.mkdir(parents=True, exist_ok=True)
    os.chmod(config.paths.data_dir, 0o711)


def forget_ready(config: ClusterConfig, process: str) -> None:
    try:
        os.unlink(ready_file(config, process))
    except FileNotFoundError:
        pass


def start(process: str, config: ClusterConfig) -> None:
    paths = config.paths
    forget_ready(config, process)
    processes.spawn(command_of(process, config), paths.pid_file(process), paths.log_file(process), environment())


def wait_ready(config: ClusterConfig, process: str, timeout_s: float) -> None:
    """Until the process says that it is ready. Errors: StartFailed with the end of its log."""
    deadline = time.monotonic() + timeout_s
    marker, pid_file = ready_file(config, process), config.paths.pid_file(process)
    while not os.path.exists(marker):
        if processes.running(pid_file) is None:
            time.sleep(0.05)
            log = processes.tail(config.paths.log_file(process))
            raise StartFailed(f"the {process} ended while it started; its log ({config.paths.log_file(process)}) ends:\n{log}")
        if time.monotonic() > deadline:
            raise StartFailed(f"the {process} was not ready within {timeout_s:.0f} s; see `kogia logs --component {process}`")
        time.sleep(0.005)


def add_context(config: ClusterConfig, options: argparse.Namespace) -> None:
    if options.no_kubeconfig:
        return
    from kogia.client.kubeconfig import default_paths
    from kogia.main.kubeconfig import merge_kubeconfig
    from kogia.main.pki import PkiPaths

    paths = PkiPaths(config.paths.pki)
    try:
        merge_kubeconfig(default_paths()[0], config.context, server=config.server_url, ca=paths.ca_cert, cert=paths.admin_cert, key=paths.admin_key)
    except (OSError, ValueError) as error:
        print(f"kogia: the kubeconfig was left as it is: {error}; use --kubeconfig {config.paths.admin_kubeconfig}", file=sys.stderr)


def foreground(config: ClusterConfig, options: argparse.Namespace) -> int:
    """Both processes as children of this one; ends, and ends them, on SIGINT, SIGTERM or when one of them ends."""
    import signal
    import subprocess

    children: dict[str, subprocess.Popen[bytes]] = {}
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with claim.lock(config):
        config, _ = checked(options)
        save(config)
        paths = config.paths
        for process in PROCESSES:
            forget_ready(config, process)
            children[process] = subprocess.Popen(command_of(process, config), env=environment(), start_new_session=True)
            processes.write_pid_file(paths.pid_file(process), children[process].pid)
    while not stopping and all(child.poll() is None for child in children.values()):
        time.sleep(0.2)
    ended = [name for name, child in children.items() if child.returncode is not None]
    for process in reversed(PROCESSES):
        processes.stop(paths.pid_file(process))
    if stopping:
        return 0
    print(f"kogia: the {', '.join(ended)} ended by itself", file=sys.stderr)
    return 1


def down(options: argparse.Namespace) -> int:
    config = settings.existing(options)
    with claim.lock(config):
        return stop(config, options)


def stop(config: ClusterConfig, options: argparse.Namespace) -> int:
    if options.pods and not any(processes.running(config.paths.pid_file(p)) for p in PROCESSES):
        stop_pods(config)
    stopped = [p for p in reversed(PROCESSES) if processes.stop(config.paths.pid_file(p))]
    if options.pods and stopped:
        stop_pods(config)
    for process in PROCESSES:
        forget_ready(config, process)
    pods = "; its Pods were stopped" if options.pods else "; its Pods go on (stop them with `kogia down --pods`)"
    print(f"Cluster {config.name} {'is down' if stopped else 'was not running'}{pods}.")
    return 0


def stop_pods(config: ClusterConfig) -> None:
    """Ends every sandbox on this node; the API objects stay, and the next `up` runs them anew."""
    import asyncio

    from kogia.main import node

    asyncio.run(node.stop_all_pods(config))


def status(options: argparse.Namespace) -> int:
    config = settings.existing(options)
    report: dict[str, object] = {"name": config.name, "dataDir": config.data_dir, "server": config.server_url, "node": config.node_name}
    healthy = True
    for process in PROCESSES:
        pid = processes.running(config.paths.pid_file(process))
        ready = pid is not None and os.path.exists(ready_file(config, process))
        healthy = healthy and ready
        memory = f", {resident_mib(pid)} MiB" if pid else ""
        report[process + "Process"] = f"running (pid {pid}{memory})" if ready else (f"starting (pid {pid})" if pid else "stopped")
    if options.output == "json":
        print(json.dumps(report, indent=2))
    else:
        for key, value in report.items():
            print(f"{key:<15} {value}")
    return 0 if healthy else 1


def resident_mib(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) // 1024 for line in file if line.startswith("VmRSS")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def own_logs(options: argparse.Namespace, write: Callable[[str], object] = sys.stdout.write) -> int:
    """Kogia's own logs: the ends of both, or one followed."""
    config = settings.existing(options)
    wanted = [options.component] if options.component else list(PROCESSES)
    lines = options.tail if options.tail and options.tail > 0 else 100
    for process in wanted:
        if len(wanted) > 1:
            write(f"==> {config.paths.log_file(process)} <==\n")
        write(processes.tail(config.paths.log_file(process), lines) + "\n")
    if options.follow:
        follow_file(str(config.paths.log_file(wanted[-1])), write)
    return 0


def follow_file(path: str, write: Callable[[str], object]) -> None:
    try:
        with open(path) as file:
            file.seek(0, os.SEEK_END)
            while True:
                line = file.readline()
                if line:
                    write(line)
                    sys.stdout.flush()
                else:
                    time.sleep(0.2)
    except KeyboardInterrupt:
        return
