"""Kogia's command line and the newest real kubectl, asked the same of the same cluster, say the same: stdout, stderr, exit status.

Only what must differ is made equal before comparing: ages, the programs' names, generated values. Commands that change something run once with each
tool on a state that is put back in between (`undo`).
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Result, kubectls

HERE = Path(__file__).parent
IMAGE = "localhost/kogia-demo:latest"
AGE = re.compile(r"\b(\d+d)?(\d+h)?(\d+m)?\d+s\b|\b\d+[mh]\b")

FILES = {
    "cm1.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm1}\ndata: {a: "1", b: "2"}\n',
    "cm2.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm1}\ndata: {a: "9"}\n',
    "bad.yaml": "apiVersion: v1\nkind: Pod\n  metadata: x\n",
    "text.yaml": "just text\n",
    "unknown.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: u1, bogus: 1}\ndatum: {a: b}\n",
    "invalid.yaml": 'apiVersion: v1\nkind: Pod\nmetadata: {name: i1}\nspec: {containers: [{name: "A b"}], restartPolicy: Maybe}\n',
    "nokind.yaml": "apiVersion: v1\nmetadata: {name: i1}\n",
    "crd.yaml": "apiVersion: foo.example/v1\nkind: Foo\nmetadata: {name: i1}\n",
    "two.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mb1}\ndata: {a: 1}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {}\n",
    "list.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: l1}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: l2}}\n",
}

READING = """
get pods
get po,svc,deploy
get all
get pods -o wide
get pods -A -owide
get pods -L app,tier --show-labels
get pods --no-headers --show-kind
get pod/two svc/web
get pod two nope
get pods nope
get pods nope --ignore-not-found
get pods -l 'app in (two,failing)'
get pods -l app=none
get pods -l ==
get pods -n=nowhere
get nodes -o wide
get ns default -o yaml
get pod two -o json
get pods -o yaml
get po,svc,cm -o name
get cm settings -oyaml
get pods --field-selector status.phase=Pending
get pods --field-selector bogus=1
get pods --sort-by .status.startTime
get pods --sort-by .bogus
get pods -o jsonpath='{range .items[*]}{.metadata.name}{"\\t"}{.status.phase}{"\\n"}{end}'
get pod two -o jsonpath='{.spec.containers[0]}'
get pod two -o jsonpath='{.spec.containers[-1:].name}'
get pod two -o jsonpath='{.metadata.annotations.kubectl\\.kubernetes\\.io/default-container}'
get pod two -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}'
get pod two -o jsonpath='{.metadata.name'
get pod two -o jsonpath-as-json='{.spec.containers[*].name}'
get pods -o custom-columns=NAME:.metadata.name,C:.spec.containers[*].name,L:.metadata.labels
get pod two -o bogus
get bogus
get
get --raw /version
get --raw /nope
get pods --bogus
get pods -o
get pods --context nope
get pods --as bob
get pods --kubeconfig nope.yaml
get -f objects.yaml
get deployments.v1.apps dep
describe pod two
describe pods
describe node
describe ns kube-public
describe svc nodeport
describe sa robot
describe deploy dep
describe cronjob tick
describe quota,limits -n kube-public
describe clusterrole view
describe rolebinding -n kube-public
describe priorityclass
describe pod nope
logs two -c side
logs two --prefix
logs two --tail=1
logs -l app=none
logs nope
logs two -c nope
logs two -c side --all-containers
logs failing
exec two -- echo hi
exec two -c side -- sh -c 'echo out; echo err >&2; exit 7'
exec two ls
exec two
exec nope -- ls
exec failing -- ls
api-resources -o wide
api-resources --namespaced=false --verbs=list,create -o name
explain pod.spec.containers
explain deploy.spec.strategy --recursive
explain pod.spec.containers.imagePullPolicy
wait --for=condition=Initialized pod/two
wait --for=jsonpath='{.status.phase}'=Bogus pod/two --timeout=1s
wait --for=delete pod/nope
apply -f bad.yaml
apply -f text.yaml
apply -f unknown.yaml
apply -f invalid.yaml
apply -f nokind.yaml
apply -f crd.yaml
apply -f nope.yaml
apply
create -f two.yaml
create -f cm1.yaml --dry-run=client -o yaml
create -f cm1.yaml --dry-run=server
create deployment d1 --image=nginx:1.2 --replicas=3 --port=80 --dry-run=client -o yaml -- sh -c x
create secret generic s1 --from-literal=a=b --dry-run=client -o yaml
create cm settings
create cm
run p1 --image=x --restart=Never --env=A=b --labels=a=b,c=d --port=80 --dry-run=client -o yaml -- a b
run p1
run p1 --image=x --rm
delete pods --all --dry-run=client
delete pods -l app=none
delete pods
delete pod nope --ignore-not-found
delete pod two --now --grace-period=3
config current-context
config get-contexts
config use-context nope
""".strip().splitlines()

#: (commands run by each tool, one after the other; what puts the state back)
CHANGING = {
    "apply": (["apply -f cm1.yaml", "apply -f cm1.yaml", "apply -f cm2.yaml --dry-run=server", "apply -f cm2.yaml", "get cm cm1 -o jsonpath={.data}"], "delete cm cm1"),
    "server-side": (["apply -f cm1.yaml --server-side", "apply -f cm2.yaml --server-side --field-manager=other", "apply -f cm2.yaml --server-side --field-manager=other --force-conflicts"],
                    "delete cm cm1"),
    "list": (["create -f list.yaml", "create -f list.yaml", "delete -f list.yaml", "delete -f list.yaml", "delete -f list.yaml --ignore-not-found"], ""),
    "label": (["label secret creds x=1", "label secret creds x=1", "label secret creds x=2", "label secret creds x=2 --overwrite", "label secret creds --list", "label secret creds x-"], ""),
    "annotate": (["annotate cm settings x=1", "annotate cm settings x=2", "annotate cm settings x-", "annotate cm settings"], ""),
    "run": ([f"run q --image={IMAGE} --image-pull-policy=Never --labels=app=q -- sleep 1000", "wait --for=condition=Ready pod/q", "delete pod -l app=q --grace-period=1", "delete pod q"], ""),
    "attach": ([f"run q2 --image={IMAGE} --image-pull-policy=Never --restart=Never -i --rm -- sh -c 'sleep 1; echo hi; exit 3'"], ""),
    "force": ([f"run q3 --image={IMAGE} --image-pull-policy=Never -- sleep 1000", "delete pod q3 --force --grace-period=0", "get pods -l run=q3"], ""),
    "namespace": (["create ns n1", "create ns n1", "create sa bob -n n1", "get sa -n n1 -o name", "delete ns n1"], ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert kubectls(), "the comparison needs a real kubectl on the PATH"
    made = Cluster("kogia-par", Path(tmp_path_factory.mktemp("parity")))
    try:
        made.up()
        made.local("image", "build-rootfs", "--busybox", "--cmd", "sh", "--env", "PATH=/bin", IMAGE).ok()
        for name, text in FILES.items():
            (made.folder / name).write_text(text)
        shutil.copy(HERE / "objects.yaml", made.folder)
        made.kubectl("apply", "-f", "objects.yaml").ok()
        made.wait_for(lambda: made.pod("two")["status"].get("containerStatuses", [{}])[0].get("started"), "pod two started")
        made.wait_for(lambda: made.pod("failing")["status"]["phase"] == "Failed", "pod failing failed")
        made.wait_for(lambda: made.kubectl("logs", "two", "-c", "main").out.count("\n") == 3, "pod two's words")
        yield made
    finally:
        made.down()


def plain(text: str) -> str:
    """What may differ is gone: ages, the tool's name, and `creationTimestamp: null`, which kubectl 1.34 and later no longer prints."""
    text = re.sub(r"<age> *", "<age> ", AGE.sub("<age>", text))
    return re.sub(r"\n *creationTimestamp: null", "", text).replace("kubectl", "kogia")


def compare(theirs: Result, ours: Result) -> None:
    assert (ours.code, plain(ours.out), plain(ours.err)) == (theirs.code, plain(theirs.out), plain(theirs.err))


@pytest.mark.parametrize("line", READING)
def test_reading_and_refusing(cluster: Cluster, line: str) -> None:
    words = shlex.split(line)
    compare(cluster.kubectl(*words), cluster.kogia(*words))


@pytest.mark.parametrize("name", CHANGING)
def test_changing(cluster: Cluster, name: str) -> None:
    lines, undo = CHANGING[name]
    told: dict[str, list[Result]] = {}
    for tool, run in (("kubectl", cluster.kubectl), ("kogia", cluster.kogia)):
        told[tool] = [run(*shlex.split(line), stdin="") for line in lines]
        if undo:
            cluster.kubectl(*shlex.split(undo)).ok()
    for theirs, ours in zip(told["kubectl"], told["kogia"], strict=True):
        compare(theirs, ours)
