"""Places Pods on nodes: queue, snapshot, plugins, binding."""

from kogia.scheduler.scheduler import Scheduler, start_scheduler

__all__ = ["Scheduler", "start_scheduler"]
