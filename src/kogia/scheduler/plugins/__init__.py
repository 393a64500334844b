"""The scheduler's plugins, and the default profile: which run, in which order, with which weights (those of Kubernetes)."""

from __future__ import annotations

from kogia.client.interface import Client
from kogia.scheduler.framework import Plugins, profile
from kogia.scheduler.plugins.binder import DefaultBinder
from kogia.scheduler.plugins.gates import SchedulingGates
from kogia.scheduler.plugins.node_constraints import NodeAffinity, NodeName, NodePorts, NodeUnschedulable, TaintToleration
from kogia.scheduler.plugins.resources import NodeResourcesBalancedAllocation, NodeResourcesFit


def default_profile(client: Client) -> Plugins:
    return profile([
        SchedulingGates(), NodeUnschedulable(), NodeName(), TaintToleration(), NodeAffinity(), NodePorts(), NodeResourcesFit(),
        NodeResourcesBalancedAllocation(), DefaultBinder(client),
    ])
