"""Decisions of single commands, without a server: which container, which Pods, what to sort, what to ask for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kogia.cli import config, delete, exec, get, label, manifests, run
from kogia.cli.connection import ApiFailure
from kogia.cli.flags import Flags
from kogia.cli.main import CommandError, add_connection_options, main


class FakeApi:
    """Answers from a table (method, path) → object; remembers the queries."""

    namespace = "default"

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers, self.queries = answers, []

    def call(self, method: str, path: str, **more: Any) -> Any:
        self.queries.append(more.get("query"))
        return self._answers[path]


def options(module: Any, *words: str) -> Any:
    flags = Flags("kogia test")
    module.add_options(flags)
    add_connection_options(flags)
    return flags.parse(words)


def pod(annotation: str = "") -> dict[str, Any]:
    notes = {"kubectl.kubernetes.io/default-container": annotation} if annotation else {}
    return {"metadata": {"name": "p", "annotations": notes}, "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}}


def test_the_annotated_container_wins_else_the_first_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert exec.default_container(pod("b"), quiet=False) == "b"
    assert exec.default_container(pod("gone"), quiet=True) == "a"
    assert capsys.readouterr().err == ""
    assert exec.default_container(pod(), quiet=False) == "a"
    assert capsys.readouterr().err == 'Defaulted container "a" out of: a, b, i (init)\n'


@pytest.mark.parametrize(("selector", "wanted"), [
    ({"app": "x", "a": "b"}, "a=b,app=x"),
    ({"matchLabels": {"app": "x"}}, "app=x"),
    ({"matchExpressions": [{"key": "k", "operator": "In", "values": ["a", "b"]}, {"key": "z", "operator": "DoesNotExist"}]}, "k in (a,b),!z"),
])  # fmt: skip
def test_a_services_and_a_deployments_pods_are_found_by_selector(selector: Any, wanted: str) -> None:
    api = FakeApi({"/api/v1/namespaces/default/pods": {"items": [{"metadata": {"name": "p"}}]}})
    assert exec.selected_pods(api, {"kind": "X", "spec": {"selector": selector}}) == [{"metadata": {"name": "p"}}]
    assert api.queries == [{"labelSelector": wanted}]


def test_objects_sort_numbers_as_numbers_and_refuse_a_path_nobody_has() -> None:
    objects = [{"n": 10}, {"n": 9}, {}]
    assert get._sorted(objects, ".n") == [{}, {"n": 9}, {"n": 10}]
    with pytest.raises(CommandError):
        get._sorted(objects, "{.x}")


@pytest.mark.parametrize(("words", "grace"), [([], -1), (["--now"], 1), (["--grace-period=0"], 1), (["--force"], 0), (["--force", "--grace-period=0"], 0), (["--grace-period=7"], 7)])
def test_grace_periods(words: list[str], grace: int) -> None:
    assert delete._grace(options(delete, *words)) == grace


@pytest.mark.parametrize("words", [["--now", "--grace-period=3"], ["--force", "--grace-period=3"]])
def test_contradicting_grace_periods(words: list[str]) -> None:
    with pytest.raises(CommandError):
        delete._grace(options(delete, *words))


def test_run_makes_kubectls_pod() -> None:
    chosen = options(run, "p", "--image=i", "--env=A=b=c", "-l", "x=y,z=", "--port=80", "-it", "--command", "--", "sh", "-c")
    chosen.pod = chosen.words[0]
    made = run.pod(chosen, chosen.dashed)
    assert made["metadata"] == {"name": "p", "labels": {"x": "y", "z": ""}}
    assert made["spec"]["containers"] == [{"image": "i", "name": "p", "resources": {}, "command": ["sh", "-c"], "env": [{"name": "A", "value": "b=c"}],
                                           "ports": [{"containerPort": 80}], "stdin": True, "stdinOnce": True, "tty": True}]  # fmt: skip


def test_labels_are_not_overwritten_unasked() -> None:
    with pytest.raises(CommandError, match=r"'a' already has a value \(1\), and --overwrite is false"):
        label._refuse_overwriting("labels", {"a": "1"}, {"a": "2"}, SimpleNamespace(overwrite=False))
    label._refuse_overwriting("labels", {"a": "1"}, {"a": "1", "b": None}, SimpleNamespace(overwrite=False))
    label._refuse_overwriting("labels", {"a": "1"}, {"a": "2"}, SimpleNamespace(overwrite=True))


def test_one_invalid_object_is_told_plainly_several_failures_by_file(capsys: pytest.CaptureFixture[str]) -> None:
    bad = ApiFailure({"reason": "Invalid", "message": 'Pod "p" is invalid: a: x', "details": {"kind": "Pod", "name": "p", "causes": [{"field": "a", "message": "x"}]}}, 422)
    one, two, manifest = manifests.Failures(), manifests.Failures(), manifests.Manifest("f.yaml", {})
    one.add(bad, "creating", manifest)
    assert one.tell() == 1 and capsys.readouterr().err == 'The Pod "p" is invalid: a: x\n'
    two.add(bad, "creating", manifest)
    two.add(bad, "creating", manifest)
    line = 'Error from server (Invalid): error when creating "f.yaml": Pod "p" is invalid: a: x\n'
    assert two.tell() == 1 and capsys.readouterr().err == line * 2
    assert manifests.Failures().tell() == 0


def test_config_changes_only_what_it_is_asked_to(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config"
    path.write_text("apiVersion: v1\nkind: Config\nextra: {kept: 'yes'}\nclusters: [{name: c, cluster: {server: 'https://h'}}]\n"
                    "contexts: [{name: a, context: {cluster: c}}, {name: b, context: {cluster: c}}]\nusers: []\ncurrent-context: a\n")  # fmt: skip
    assert main(["config", "use-context", "b", "--kubeconfig", str(path)]) == 0
    assert main(["config", "set-context", "--current", "--namespace=n", "--kubeconfig", str(path)]) == 0
    capsys.readouterr()
    assert main(["config", "get-contexts", "--no-headers", "--kubeconfig", str(path)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["a", "c"], ["*", "b", "c", "n"]]
    assert 'kept: "yes"' in path.read_text() and path.stat().st_mode & 0o777 == 0o600
    assert main(["config", "use-context", "nope", "--kubeconfig", str(path)]) == 1


def test_secrets_do_not_show_in_a_viewed_config() -> None:
    assert config._redacted({"client-key-data": "x", "token": "y", "server": "s"}) == {"client-key-data": "DATA+OMITTED", "token": "REDACTED", "server": "s"}


def test_unknown_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bogus"]) == 1 and 'unknown command "bogus" for "kogia"' in capsys.readouterr().err
    assert main(["get", "--bogus"]) == 1
    assert capsys.readouterr().err == "error: unknown flag: --bogus\nSee 'kogia get --help' for usage.\n"
    assert main(["get", "--help"]) == 0 and "--all-namespaces=false" in capsys.readouterr().out
