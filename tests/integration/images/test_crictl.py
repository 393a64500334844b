"""`kogia crictl` as a process against a CRI socket with the fake runtime behind it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.cri.fake import FakeRuntime, FakeStream
from kogia.cri.grpc.server import serve


@pytest.fixture
def node(tmp_path):
    """A fake node on a socket in a thread of its own; `node.call(coroutine)` runs there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    class Node:
        folder = tmp_path
        fake = FakeRuntime(images=("docker.io/library/busybox:latest",))

        def call(self, work):
            return asyncio.run_coroutine_threadsafe(work, loop).result(10)

        def __call__(self, *words, check=True, stdin=None):
            done = subprocess.run(
                [sys.executable, "-m", "kogia.main", "crictl", "--data-dir", str(tmp_path), *words],
                capture_output=True, text=True, input=stdin, timeout=30,
            )  # fmt: skip
            if check:
                assert done.returncode == 0, done.stderr
            return done

        def pod(self, name="web", container="main", log=""):
            meta = t.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default", attempt=0)
            config = t.PodSandboxConfig(metadata=meta, log_directory=str(tmp_path), labels={"app": name})
            sandbox = self.call(self.fake.run_pod_sandbox(config))
            made = t.ContainerConfig(metadata=t.ContainerMetadata(name=container, attempt=2), image=t.ImageSpec(image="busybox"), log_path=log)
            made = self.call(self.fake.create_container(sandbox, made, config))
            self.call(self.fake.start_container(made))
            return sandbox, made

    node = Node()
    server = node.call(serve(node.fake, node.fake, tmp_path / "cri.sock"))
    yield node
    node.call(server.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def test_ps_and_pods(node):
    sandbox, container = node.pod()
    header, row = node("ps").stdout.splitlines()
    assert header.split() == ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD", "ID", "POD", "NAMESPACE"]
    assert header.index("IMAGE") == 20 and row.split()[0] == container[:13]
    assert row.split()[-5:] == ["main", "2", sandbox[:13], "web", "default"] and " Running " in row
    other_sandbox, other = node.pod("db", "store")
    node.fake.finish(other, 1)
    assert node("ps", "-q").stdout.split() == [container]
    assert node("ps", "-a", "-q").stdout.split() == [other, container]
    assert node("ps", "-aq", "--name", "^st").stdout.split() == [other]
    assert node("ps", "--state", "exited", "-q", "--no-trunc").stdout.split() == [other]
    assert node("ps", "-a", "--pod", sandbox[:5], "-q").stdout.split() == [container]
    assert node("ps", "-l", "-q").stdout.split() == [other]
    listed = json.loads(node("ps", "-o", "json").stdout)["containers"]
    assert [(c["id"], c["podSandboxId"], c["state"]) for c in listed] == [(container, sandbox, "CONTAINER_RUNNING")]
    assert node("pods", "--label", "app=db", "-q").stdout.split() == [other_sandbox]
    assert "FullName: k8s_main_web_default_uid-web_2\nState: Running\n" in node("ps", "-v").stdout
    shown = node("pods", "-v", "--name", "web").stdout
    assert shown.startswith(f"ID: {sandbox}\nName: web\nUID: uid-web\n") and "FullName: k8s_POD_web_default_uid-web_0\n" in shown
    assert "Labels:\n\tapp -> web\n" in shown
    header, *rows = node("pods").stdout.splitlines()
    assert header.split() == ["POD", "ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"]
    assert len(rows) == 2 and " Ready " in rows[0] and rows[0].endswith("(default)")


def test_images(node):
    node.fake.publish("quay.io/x/y:z", size=4_260_000)
    assert node("pull", "--creds", "u:p", "quay.io/x/y:z").stdout.startswith("Image is up to date for quay.io/x/y@sha256:")
    assert node.fake.auths[-1] == t.AuthConfig(username="u", password="p")
    header, *rows = node("images").stdout.splitlines()
    assert header.split() == ["IMAGE", "TAG", "IMAGE", "ID", "SIZE"]
    assert [r.split()[:2] for r in rows] == [["docker.io/library/busybox", "latest"], ["quay.io/x/y", "z"]] and rows[1].endswith("4.26MB")
    assert node("rmi", "quay.io/x/y:z").stdout == "Deleted: quay.io/x/y:z\n"
    failed = node("pull", "absent:1", check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith('FATA[0000] pulling image: rpc error: code = NotFound desc = failed to pull and unpack image "absent:1"')
    assert json.loads(node("inspecti", "busybox").stdout)["status"]["repoTags"] == ["docker.io/library/busybox:latest"]


def test_inspect_version_info_stats(node):
    sandbox, container = node.pod()
    shown = json.loads(node("inspect", container[:6]).stdout)["status"]
    assert (shown["id"], shown["state"], shown["metadata"]) == (container, "CONTAINER_RUNNING", {"name": "main", "attempt": 2})
    assert shown["createdAt"].startswith("20") and shown["finishedAt"] == "0001-01-01T00:00:00Z"
    assert json.loads(node("inspectp", sandbox).stdout)["status"]["metadata"]["uid"] == "uid-web"
    assert "id: " + container in node("inspect", "-o", "yaml", container).stdout
    assert node("version").stdout.splitlines()[1] == "RuntimeName:  fake"
    assert [c["type"] for c in json.loads(node("info").stdout)["status"]["conditions"]] == ["RuntimeReady", "NetworkReady"]
    header, row = node("stats", "--seconds", "0.05").stdout.splitlines()
    assert header.split() == ["CONTAINER", "NAME", "CPU", "%", "MEM", "DISK", "INODES"] and row.split()[1:4] == ["main", "0.00", "4.1kB"]
    failed = node("inspect", "0000", check=False)
    assert failed.returncode == 1 and failed.stderr == 'FATA[0000] rpc error: code = NotFound desc = could not find container "0000": not found\n'


def test_exec(node):
    _, container = node.pod()
    node.fake.exec_stream = lambda cid, cmd: FakeStream([(1, b"out\n"), (2, b"err\n")], exit_code=3)
    done = node("exec", container[:8], "ls", "-l", "--color", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert node.fake.called("exec")[-1] == (container, ["ls", "-l", "--color"], False, False)
    node.fake.exec_stream = lambda cid, cmd: FakeStream()
    assert node("exec", "-i", container, "cat", stdin="through and back").stdout == "through and back"
    assert node("exec", "-s", container, "echo", "a", "b").stdout == "a b"
    node.fake.fail["exec"] = CriError(Code.UNKNOWN, "boom")
    assert "boom" in node("exec", container, "x", check=False).stderr


def test_stop_and_remove(node):
    sandbox, container = node.pod()
    refused = node("rm", container[:8], check=False)
    assert refused.returncode == 1 and "is running, please stop it first" in refused.stderr
    assert node("stop", "--timeout", "7", container[:8]).stdout == container[:8] + "\n"
    assert node.fake.called("stop_container")[-1] == (container, 7.0)
    assert node("rm", container).stdout == container + "\n" and not node.fake.containers
    assert "please stop it first" in node("rmp", sandbox, check=False).stderr
    assert node("stopp", sandbox[:9]).stdout == f"Stopped sandbox {sandbox[:9]}\n"
    assert node("rmp", sandbox).stdout == f"Removed sandbox {sandbox}\n"
    node.pod("a")
    node.pod("b")
    node("rm", "-f", "-a")
    node("rmp", "-f", "-a")
    assert not node.fake.containers and not node.fake.sandboxes
    assert node("rm", "nope", check=False).returncode == 1


def log_line(text, stream="stdout", flag="F"):
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S')}.123456789+00:00 {stream} {flag} {text}\n"


def test_logs(node):
    _, container = node.pod(log="main.log")
    path = node.folder / "main.log"
    path.write_text(log_line("one") + log_line("tw", flag="P") + log_line("o") + log_line("bad", "stderr") + log_line("three"))
    done = node("logs", container[:8])
    assert (done.stdout, done.stderr) == ("one\ntwo\nthree\n", "bad\n")
    assert node("logs", "--tail", "1", container).stdout == "three\n"
    assert node("logs", "-t", "--tail=1", container).stdout.endswith(".123456789+00:00 three\n")
    assert node("logs", "--limit-bytes=5", container).stdout == "one\nt"
    follower = subprocess.Popen(
        [sys.executable, "-m", "kogia.main", "crictl", "--data-dir", str(node.folder), "logs", "-f", "--tail=0", container], stdout=subprocess.PIPE, text=True
    )
    try:
        time.sleep(1)
        with open(path, "a") as file:
            file.write(log_line("four"))
        assert follower.stdout.readline() == "four\n"
        os.rename(path, node.folder / "main.log.1")
        path.write_text(log_line("five"))
        assert follower.stdout.readline() == "five\n"
        node.call(node.fake.stop_container(container, 0))
        assert follower.wait(10) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            follower.kill()
        follower.wait()
        follower.stdout.close()
    path.unlink()
    assert "no such file or directory" in node("logs", container, check=False).stderr


def test_nobody_listens(tmp_path):
    done = subprocess.run([sys.executable, "-m", "kogia.main", "crictl", "--data-dir", str(tmp_path), "ps"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith('FATA[0000] validate service connection: rpc error: code = Unavailable desc = connection error: desc = "transport')
    assert done.stderr.count("\n") == 1
