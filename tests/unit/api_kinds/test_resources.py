import pytest

from kogia.api import resources
from kogia.api.kinds import ResourceInfo
from kogia.api.resources import storage_version_hash, version_rank


def test_every_row_is_found_by_plural_and_kind() -> None:
    assert len(resources.ALL) > 60
    for row in resources.ALL:
        assert resources.find(row.group, row.version, row.plural) is row
        assert resources.by_kind(row.group, row.version, row.kind) is row


def test_short_names_are_unique() -> None:
    seen: dict[str, str] = {}
    for row in resources.ALL:
        for short in row.short_names:
            assert seen.setdefault(short, row.plural) == row.plural


@pytest.mark.parametrize(
    ("short", "plural"),
    [("po", "pods"), ("svc", "services"), ("cm", "configmaps"), ("ns", "namespaces"), ("no", "nodes"), ("sa", "serviceaccounts"),
     ("ev", "events"), ("ep", "endpoints"), ("pv", "persistentvolumes"), ("pvc", "persistentvolumeclaims"), ("rc", "replicationcontrollers"),
     ("rs", "replicasets"), ("deploy", "deployments"), ("ds", "daemonsets"), ("sts", "statefulsets"), ("cj", "cronjobs"),
     ("hpa", "horizontalpodautoscalers"), ("pdb", "poddisruptionbudgets"), ("ing", "ingresses"), ("netpol", "networkpolicies"),
     ("sc", "storageclasses"), ("pc", "priorityclasses"), ("csr", "certificatesigningrequests"), ("crd", "customresourcedefinitions"),
     ("quota", "resourcequotas"), ("limits", "limitranges"), ("cs", "componentstatuses")],
)
def test_short_names(short: str, plural: str) -> None:
    assert {row.plural for row in resources.ALL if short in row.short_names} == {plural}


def test_group_order_and_preferred_versions() -> None:
    groups = resources.groups()
    assert [g.name for g in groups[:4]] == ["", "apiregistration.k8s.io", "apps", "events.k8s.io"]
    assert next(g for g in groups if g.name == "autoscaling").versions == ("v2", "v1")


def test_versions_sort_as_kubernetes_prefers_them() -> None:
    mixed = ["foo1", "v1alpha1", "v10", "v1beta1", "v2", "v1", "v11alpha2", "v12alpha1", "v3beta1", "v11beta2", "foo10"]
    assert sorted(mixed, key=version_rank) == [
        "v10", "v2", "v1", "v11beta2", "v3beta1", "v1beta1", "v12alpha1", "v11alpha2", "v1alpha1", "foo1", "foo10",
    ]


@pytest.mark.parametrize(
    ("key", "digest"),
    [(("", "v1", "pods"), "xPOwRZ+Yhw8="), (("", "v1", "configmaps"), "qFsyl6wFWjQ="), (("", "v1", "services"), "0/CO1lhkEBI="),
     (("networking.k8s.io", "v1", "ingresses"), "39NQlfNR+bo="), (("events.k8s.io", "v1", "events"), "r2yiGXH7wu8=")],
)
def test_storage_version_hash(key: tuple[str, str, str], digest: str) -> None:
    row = resources.find(*key)
    assert row is not None and storage_version_hash(row) == digest


def test_pod_subresources() -> None:
    row = resources.find("", "v1", "pods")
    assert row is not None
    assert [s.name for s in row.subresources] == [
        "attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy", "resize", "status",
    ]
    eviction = row.subresource("eviction")
    assert eviction is not None and (eviction.group, eviction.version, eviction.kind) == ("policy", "v1", "Eviction")


def test_shared_storage_and_own_rows() -> None:
    v1 = resources.find("autoscaling", "v1", "horizontalpodautoscalers")
    assert v1 is not None and resources.ALL.storage_row(v1) is resources.find("autoscaling", "v2", "horizontalpodautoscalers")
    assert v1 not in resources.ALL.storages() and v1 in resources.stored()


def test_rows_can_be_added_to_a_copy() -> None:
    table = resources.ALL.copy()
    row = ResourceInfo("example.org", "v1", "Widget", "widgets", "widget", storage=("example.org", "v1", "Widget"))
    table.add(row)
    assert table.find("example.org", "v1", "widgets") is row and resources.find("example.org", "v1", "widgets") is None
    assert table.groups()[-1].name == "example.org"
    table.remove(row)
    assert table.find("example.org", "v1", "widgets") is None
