"""Places Pods on nodes: queue, snapshot, plugins, binding."""
