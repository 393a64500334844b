"""SchedulingGates: a Pod with gates is not queued until the last one is removed. Source: kube-scheduler plugins/schedulinggates."""

from __future__ import annotations

from kogia.client.interface import Obj
from kogia.scheduler.framework import ClusterEvent, Code, Rejection


class SchedulingGates:
    name = "SchedulingGates"
    events = ClusterEvent(0)

    def pre_enqueue(self, pod: Obj) -> Rejection | None:
        gates = [gate["name"] for gate in (pod.get("spec") or {}).get("schedulingGates") or ()]
        if not gates:
            return None
        return Rejection(self.name, (f"waiting for scheduling gates: [{' '.join(gates)}]",), Code.UNRESOLVABLE)
