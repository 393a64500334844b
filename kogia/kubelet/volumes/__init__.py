"""Volumes of Pods on this node: payloads of API data written atomically, directories, host paths, service-account tokens."""
