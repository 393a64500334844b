"""Protobuf bodies, encoded by hand as Go writes them: zeros and all."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kogia.api import protobuf
from kogia.api.decode import decode
from kogia.api.status import StatusError


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def m(*fields: tuple[int, Any]) -> bytes:
    """A message: ints as varints, strings and bytes length-delimited."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return protobuf.MAGIC + m((1, m((1, api_version), (2, kind))), (2, raw), (3, ""), (4, ""))


METADATA = m((1, "x"), (2, ""), (3, "ns"), (4, ""), (5, ""), (6, ""), (7, 0), (8, b""), (11, m((1, "a"), (2, "b"))), (11, m((1, "c"), (2, ""))), (13, m(
    (1, "ReplicaSet"), (3, "rs"), (4, "u"), (5, "apps/v1"), (6, 0), (7, 1))))


def test_a_deployment_with_what_go_writes() -> None:
    container = m((1, "c"), (2, "img"), (5, ""), (6, m((1, ""), (2, 0), (3, 8080), (4, "TCP"), (5, ""))), (8, m((1, m((1, "cpu"), (2, m((1, "500m"))))))),
                  (10, m((1, m((2, m((1, "/h"), (2, m((1, 1), (2, 0), (3, "http"))), (3, ""), (4, ""))))), (2, 5), (3, 0))), (16, 0), (17, 0))
    pod = m((2, container), (3, ""), (4, 0), (11, 0), (20, container), (34, b""))
    volume = m((1, "v"), (2, m((2, m((1, ""))))))
    template = m((1, m((1, ""), (8, b""))), (2, m((1, volume)) + pod))
    spec = m((1, 0), (2, m((1, m((1, "a"), (2, "b"))))), (3, template), (4, m((1, ""))), (5, 0), (7, 0))
    value, messages = decode(envelope("apps/v1", "Deployment", m((1, METADATA), (2, spec), (3, m((1, 0))))), protobuf.MEDIA_TYPE)
    assert messages == []
    assert value["metadata"] == {
        "name": "x", "namespace": "ns", "labels": {"a": "b", "c": ""},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "rs", "uid": "u", "apiVersion": "apps/v1", "controller": False, "blockOwnerDeletion": True}],
    }
    assert value["spec"]["replicas"] == 0 and "minReadySeconds" not in value["spec"] and "paused" not in value["spec"]
    spec_of_pod = value["spec"]["template"]["spec"]
    assert spec_of_pod["terminationGracePeriodSeconds"] == 0 and "hostNetwork" not in spec_of_pod and "restartPolicy" not in spec_of_pod
    assert spec_of_pod["volumes"] == [{"name": "v", "emptyDir": {}}]
    made = spec_of_pod["containers"][0]
    assert made["ports"] == [{"containerPort": 8080, "protocol": "TCP"}] and made["resources"] == {"limits": {"cpu": "500m"}}
    assert made["livenessProbe"] == {"httpGet": {"path": "/h", "port": "http"}, "initialDelaySeconds": 5}


def test_bytes_maps_times_and_lists_of_lists() -> None:
    secret, _ = decode(envelope("v1", "Secret", m((1, METADATA), (2, m((1, "k"), (2, b"\x00\xff"))), (5, 0))), protobuf.MEDIA_TYPE)
    assert secret["data"] == {"k": "AP8="} and secret["immutable"] is False
    review, _ = decode(envelope("authorization.k8s.io/v1", "SubjectAccessReview", m((2, m((3, "u"), (4, "g1"), (4, "g2"), (5, m((1, "s"), (2, m((1, "v1"), (1, "v2"))))))))), protobuf.MEDIA_TYPE)
    assert review["spec"] == {"user": "u", "groups": ["g1", "g2"], "extra": {"s": ["v1", "v2"]}}
    lease, _ = decode(envelope("coordination.k8s.io/v1", "Lease", m((2, m((1, "me"), (2, 15), (4, m((1, 1_700_000_000), (2, 123_456_000))))))), protobuf.MEDIA_TYPE)
    assert lease["spec"] == {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2023-11-14T22:13:20.123456Z"}
    negative, _ = decode(envelope("scheduling.k8s.io/v1", "PriorityClass", m((2, -5))), protobuf.MEDIA_TYPE)
    assert negative["value"] == -5
    options, _ = decode(envelope("v1", "DeleteOptions", m((1, 0), (4, "Orphan"))), protobuf.MEDIA_TYPE)
    assert options["gracePeriodSeconds"] == 0 and options["propagationPolicy"] == "Orphan"
    revision, _ = decode(envelope("apps/v1", "ControllerRevision", m((2, m((1, '{"a":[1]}'))), (3, 2))), protobuf.MEDIA_TYPE)
    assert revision["data"] == {"a": [1]} and revision["revision"] == 2


@pytest.mark.parametrize("body", [b"", b"{}", b"k8s\x00", protobuf.MAGIC + b"\xff\xff", envelope("v1", "Nope", b""), envelope("v1", "ConfigMap", b"\x0a\xff\x01")])
def test_bad_bodies_are_400(body: bytes) -> None:
    with pytest.raises(StatusError) as refused:
        protobuf.decode(body)
    assert refused.value.code == 400


def test_noise_is_refused_or_read_and_nothing_else() -> None:
    random.seed(3)
    good = envelope("apps/v1", "Deployment", m((1, METADATA), (2, m((1, 3)))))
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(random.randrange(1, 4)):
            data[random.randrange(4, len(data))] = random.randrange(256)
        try:
            assert isinstance(protobuf.decode(bytes(data)), dict)
        except StatusError as error:
            assert error.code == 400
