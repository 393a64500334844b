"""Choosing among an index's platforms; checking configurations."""

import json

import pytest

from kogia.runtime.images.platforms import BadImage, choose, diff_ids, matches


def m(os="linux", arch="amd64", variant="", name=""):
    return {"platform": {"os": os, "architecture": arch, **({"variant": variant} if variant else {})}, "digest": name or f"{os}/{arch}/{variant}"}


def test_choice():
    every = [m("windows"), m(arch="arm", variant="v6"), m(arch="arm", variant="v7"), m(arch="arm64"), m(variant="v3"), m(name="first"), m(name="second")]
    assert choose(every, ("linux", "amd64", ""))["digest"] == "first"
    assert choose(every, ("linux", "arm", "v7"))["digest"] == "linux/arm/v7"
    assert choose(every, ("linux", "arm", "v6"))["digest"] == "linux/arm/v6"
    assert choose(every, ("linux", "arm64", "v8"))["digest"] == "linux/arm64/"
    assert choose(every, ("linux", "s390x", "")) is None
    assert choose([{"digest": "plain"}], ("linux", "amd64", ""))["digest"] == "plain"
    assert matches({"os": "linux", "architecture": "x86_64"}, ("linux", "amd64", ""))


@pytest.mark.parametrize("config", [b"", b"[]", b'{"rootfs":{}}', b'{"rootfs":{"diff_ids":["sha256:1"]}}', b'{"os":"windows","rootfs":{"diff_ids":[]}}'])
def test_bad_configurations(config):
    with pytest.raises(BadImage):
        diff_ids(config)


def test_too_many_layers():
    with pytest.raises(BadImage, match="128 layers"):
        diff_ids(json.dumps({"rootfs": {"diff_ids": ["sha256:" + "0" * 64] * 128}}).encode())
