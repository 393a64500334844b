import pytest

from kogia.client import requests
from kogia.client.interface import Resource, WatchEvent
from kogia.client.responses import WatchDecoder, error_from, watch_error

PODS = Resource("", "v1", "pods")
NODES = Resource("", "v1", "nodes", namespaced=False)
DEPLOYMENTS = Resource("apps", "v1", "deployments")


def test_paths():
    assert requests.collection_path(PODS) == "/api/v1/pods"
    assert requests.collection_path(DEPLOYMENTS, "x") == "/apis/apps/v1/namespaces/x/deployments"
    assert requests.object_path(NODES, "n", subresource="status") == "/api/v1/nodes/n/status"
    assert requests.object_path(NODES, "n", "ignored") == "/api/v1/nodes/n"


@pytest.mark.parametrize("resource,name,namespace", [(PODS, "", "x"), (PODS, "a", ""), (PODS, "a/b", "x")])
def test_an_incomplete_name_never_means_a_collection(resource, name, namespace):
    with pytest.raises(ValueError):
        requests.object_path(resource, name, namespace)


def test_names_are_escaped_on_the_wire_only():
    roles = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", namespaced=False)
    request = requests.build("GET", requests.object_path(roles, "system:a b%"))
    assert request.path.endswith("/system:a b%")
    assert request.raw_path.endswith("/system:a%20b%25")


def test_queries():
    assert requests.list_query("a=b,c in (d,e)", "", "0", 0, "") == "labelSelector=a%3Db%2Cc+in+%28d%2Ce%29&resourceVersion=0"
    assert requests.watch_query("7", "", "", True, False, 60) == "watch=true&resourceVersion=7&allowWatchBookmarks=true&timeoutSeconds=60"
    assert "resourceVersionMatch=NotOlderThan" in requests.watch_query("", "", "", True, True, 0)


def test_delete_options():
    assert requests.delete_options() is None
    options = requests.delete_options(grace_period_s=0, uid="u", propagation_policy="Orphan")
    assert options == {
        "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "propagationPolicy": "Orphan",
    }


def test_headers_and_bodies():
    request = requests.build("PATCH", "/x", body={"a": 1}, content_type=requests.PATCH_TYPES["merge"], headers={"User-Agent": "t"})
    assert request.headers == {"accept": "application/json", "content-type": "application/merge-patch+json", "user-agent": "t"}
    assert request.body == b'{"a":1}'
    assert "content-type" not in requests.build("GET", "/x").headers


LINES = b'{"type":"ADDED","object":{"n":1}}\n\n{"type":"MODIFIED","object":{"n":2}}\n{"type":"BOOKMARK","object":{"n":3}}\n'


@pytest.mark.parametrize("size", [1, 2, 7, 33, 34, 35, 1000])
def test_watch_lines_split_anywhere(size):
    decoder = WatchDecoder()
    events = [e for i in range(0, len(LINES), size) for e in decoder.feed(LINES[i:i + size])]
    assert [(e.type, e.object["n"]) for e in events] == [("ADDED", 1), ("MODIFIED", 2), ("BOOKMARK", 3)]
    assert not decoder.incomplete


def test_an_unfinished_line_is_noticed():
    decoder = WatchDecoder()
    assert decoder.feed(b'{"type":"ADDED"') == []
    assert decoder.incomplete


def test_errors():
    body = b'{"kind":"Status","message":"no","reason":"Conflict","code":409}'
    assert error_from(409, body).reason == "Conflict"
    assert error_from(404, b"").message == "the server could not find the requested resource"
    assert error_from(500, b"boom").message == 'an error on the server ("boom") has prevented the request from succeeding'
    assert error_from(418, b"[]").code == 418
    assert watch_error(WatchEvent("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})).code == 410
