"""The node agent: makes this node's Pods real through CRI and tells the API what came of it."""

from typing import Any

__all__ = ["KubeletConfig", "start_kubelet"]


def __getattr__(name: str) -> Any:
    """The room's doors, opened on first use: importing a part does not load the whole."""
    if name == "start_kubelet":
        from kogia.kubelet.kubelet import start_kubelet

        return start_kubelet
    if name == "KubeletConfig":
        from kogia.kubelet.config import KubeletConfig

        return KubeletConfig
    raise AttributeError(name)
