"""Links, addresses and routes by rtnetlink, sync and without forking: the fast half of the default network.

A socket belongs to the network namespace its creating thread was in, for ever; so one opened inside a pod's namespace
configures that namespace from anywhere. Source: rtnetlink(7), linux/if_link.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK = 16, 17, 19
RTM_NEWADDR, RTM_NEWROUTE = 20, 24
NLM_F_REQUEST, NLM_F_ACK = 1, 4
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
_NLMSG_ERROR = 2
IFF_UP = 1
_IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_PROTINFO, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 3, 4, 10, 12, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER, _BRPORT_MODE = 1, 2, 1, 4
_NESTED = 0x8000
LOOPBACK_INDEX, PEER_INDEX = 1, 2  #: in a namespace of ours, eth0 is always number 2


def _attr(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def _text(kind: int, value: str) -> bytes:
    return _attr(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attr(kind, struct.pack("=I", value))


def _link(index: int = 0, flags: int = 0, change: int = 0, family: int = 0) -> bytes:
    return struct.pack("=BxHiII", family, 0, index, flags, change)


class Netlink:
    """One rtnetlink socket. Not for use by two threads at once."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def _request(self, kind: int, flags: int, payload: bytes, what: str) -> None:
        self._sequence += 1
        header = struct.pack("=IHHII", 16 + len(payload), kind, flags | NLM_F_REQUEST | NLM_F_ACK, self._sequence, 0)
        self._socket.send(header + payload)
        while True:
            reply = self._socket.recv(65536)
            _length, reply_kind, _flags, sequence, _pid = struct.unpack_from("=IHHII", reply)
            if sequence != self._sequence or reply_kind != _NLMSG_ERROR:
                continue
            (code,) = struct.unpack_from("=i", reply, 16)
            if code:
                raise OSError(-code, os.strerror(-code), what)
            return

    def add_bridge(self, name: str, mtu: int = 0) -> None:
        """Errors: OSError EEXIST if there is one."""
        payload = _link(0, IFF_UP, IFF_UP) + _text(_IFLA_IFNAME, name)
        if mtu:
            payload += _number(_IFLA_MTU, mtu)
        payload += _attr(_IFLA_LINKINFO | _NESTED, _text(_IFLA_INFO_KIND, "bridge"))
        self._request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, name)

    def add_veth(self, name: str, peer: str, netns_fd: int, master: int, mtu: int = 0) -> None:
        """A pair: `name` here, up and on the bridge `master`; `peer` in the namespace as link PEER_INDEX, still down.

        (The kernel refuses to bring a peer up before its other end exists.)
        """
        size = _number(_IFLA_MTU, mtu) if mtu else b""
        other = _link(PEER_INDEX) + _text(_IFLA_IFNAME, peer) + size + _number(_IFLA_NET_NS_FD, netns_fd)
        info = _text(_IFLA_INFO_KIND, "veth") + _attr(_IFLA_INFO_DATA | _NESTED, _attr(_VETH_INFO_PEER | _NESTED, other))
        payload = _link(0, IFF_UP, IFF_UP) + _text(_IFLA_IFNAME, name) + size + _number(_IFLA_MASTER, master)
        self._request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload + _attr(_IFLA_LINKINFO | _NESTED, info), name)

    def set_hairpin(self, index: int) -> None:
        """Let a bridge port send a frame back out where it came in: a pod reaching itself through its Service."""
        payload = _link(index, family=socket.AF_BRIDGE if hasattr(socket, "AF_BRIDGE") else 7)
        self._request(RTM_SETLINK, 0, payload + _attr(_IFLA_PROTINFO | _NESTED, _attr(_BRPORT_MODE, b"\1")), f"link {index}")

    def set_up(self, index: int) -> None:
        self._request(RTM_NEWLINK, 0, _link(index, IFF_UP, IFF_UP), f"link {index}")

    def delete_link(self, name: str) -> None:
        """Idempotent."""
        try:
            self._request(RTM_DELLINK, 0, _link() + _text(_IFLA_IFNAME, name), name)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def add_address(self, index: int, address: str, prefix: int) -> None:
        """Idempotent."""
        raw = socket.inet_aton(address)
        payload = struct.pack("=BBBBi", socket.AF_INET, prefix, 0, 0, index) + _attr(1, raw) + _attr(2, raw)
        if prefix < 31:
            broadcast = struct.unpack("!I", raw)[0] | (1 << (32 - prefix)) - 1
            payload += _attr(4, struct.pack("!I", broadcast))
        try:
            self._request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, payload, address)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise

    def add_default_route(self, index: int, gateway: str) -> None:
        header = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0)
        payload = header + _attr(5, socket.inet_aton(gateway)) + _number(4, index)
        self._request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, payload, "default route")
