"""Nonsense in paths, queries, headers and bodies gets a Status, never a 5xx and never silence. The seed is fixed."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import APPLY, JSON, JSON_PATCH, MERGE, STRATEGIC, Api

WORDS = ["", "0", "-1", "1", "true", "x", "a=b", "a in (", "a,,b", "=", "!!", "metadata.name=x", "spec.x=1", "status.phase", "9" * 30, "1e9", "None", "null", "{}", "[]",
         "%", "\x00", "é", "../..", "'\"", "Exact", "NotOlderThan", "All", "Strict", "Background", "a" * 3000, "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", "eyJ2IjoxfQ=="]  # fmt: skip
QUERIES = ["labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch", "timeoutSeconds", "watch", "dryRun", "fieldManager", "force",
           "fieldValidation", "pretty", "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "sendInitialEvents", "allowWatchBookmarks", "includeObject", "nonsense"]  # fmt: skip
SEGMENTS = ["api", "apis", "v1", "apps", "namespaces", "default", "pods", "configmaps", "deployments", "services", "x", "status", "scale", "log", "proxy", "exec", "eviction", "binding",
            "token", "..", ".", "%00", "%2F", "é", "a" * 300, "openapi", "v3", "version", "watch", "healthz", "metrics", "nodes", "-", " "]  # fmt: skip
ACCEPTS = [JSON, "*/*", "application/yaml", "x", ";", "application/json;as=Table", "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;q=x", ",,,", "application/*"]


def value(dice: random.Random, depth: int = 0) -> Any:
    roll = dice.randrange(9 if depth < 4 else 6)
    if roll < 6:
        return dice.choice([None, True, 0, -1, 2**63, 1.5, "", "x", "a" * 300, "é\u0000", "10.96.0.1", "1Gi", "2020-01-01T00:00:00Z"])
    if roll == 6:
        return [value(dice, depth + 1) for _ in range(dice.randrange(3))]
    keys = ["metadata", "name", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "managedFields", "spec", "containers", "ports", "data", "status", "kind",
            "apiVersion", "resourceVersion", "uid", "selector", "template", "op", "path", "value", "$patch", "$setElementOrder/containers", "$retainKeys", "deletionTimestamp", "é"]  # fmt: skip
    return {dice.choice(keys): value(dice, depth + 1) for _ in range(dice.randrange(5))}


def body(dice: random.Random) -> bytes:
    roll = dice.randrange(4)
    if roll == 0:
        return dice.choice([b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a":1}}', b"- a\n- b: [", b"a: *x", b"&a [*a]", b"[" * 2000, b'"x"', b"\x00", b"!!python/object:os.system x"])
    made = value(dice)
    if roll > 1:
        made = {"metadata": {"name": dice.choice(["wild", "x", "Bad_"]), **(made if isinstance(made, dict) else {})}, "spec": value(dice), "data": value(dice), "status": value(dice)}
    return json.dumps(made).encode()


@pytest.mark.parametrize("seed", range(4))
def test_wild_requests(api: Api, shared_namespace: str, seed: int) -> None:
    dice = random.Random(seed)
    here = [f"/api/v1/namespaces/{shared_namespace}/{plural}" for plural in ("pods", "configmaps", "services", "secrets", "events", "serviceaccounts", "endpoints")]
    here += [f"/apis/apps/v1/namespaces/{shared_namespace}/deployments", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{shared_namespace}/roles"]
    for _ in range(450):
        method = dice.choice(["GET", "GET", "POST", "POST", "PUT", "PATCH", "PATCH", "DELETE", "OPTIONS", "HEAD"])
        path = dice.choice(here) + dice.choice(["", "", "/wild", "/wild/status", "/wild/scale", "/x/log"])
        if dice.random() < 0.25 and method in ("GET", "HEAD", "OPTIONS"):
            path = "/" + "/".join(quote(s, safe="%/.") for s in dice.choices(SEGMENTS, k=dice.randrange(1, 8)))
        query = "&".join(f"{dice.choice(QUERIES)}={quote(dice.choice(WORDS))}" for _ in range(dice.randrange(4)))
        if "watch" in query or "sendInitialEvents" in query:
            query = query.replace("timeoutSeconds", "t") + "&timeoutSeconds=1"
            if dice.random() < 0.9:
                continue
        data = body(dice) if method in ("POST", "PUT", "PATCH", "DELETE") and dice.random() < 0.9 else None
        media = dice.choice([JSON, JSON, MERGE, STRATEGIC, JSON_PATCH, APPLY, "application/yaml", "x/y"]) if method == "PATCH" else dice.choice([JSON, JSON, "application/yaml", "-", ";"])
        answer = api.call(method, f"{path}?{query}", data, media, Accept=dice.choice(ACCEPTS))
        told = f"{method} {path}?{query} {media} {data!r}: {answer.code} {answer.data[:500]!r}"
        known = answer.code < 500 or answer.code == 504 or b"field not declared in schema" in answer.data or b"should not be set on objects to be created" in answer.data
        assert known or b"failed to create typed" in answer.data, told
        if answer.code >= 400 and answer.data.startswith(b"{"):
            assert answer.obj["kind"] == "Status" and answer.obj["message"], told
    assert api.get("/readyz").code == 200
