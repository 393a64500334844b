"""Kogia: Kubernetes in Python, whole. `docs/architecture.md` is the map of the rooms."""

__version__ = "0.1.0"

#: The Kubernetes version whose API is served; the schema data come from the package of the same minor.
KUBERNETES_VERSION = "v1.37.0"
