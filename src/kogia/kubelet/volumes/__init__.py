"""Volumes of Pods on this node: payloads of API data written atomically, directories, host paths, service-account tokens."""

from pathlib import Path


def unmount_all(root: Path) -> None:
    """Take away every mount below a kubelet's directory; for the removal of a whole node. Blocking. Errors: OSError."""
    from kogia.kubelet.volumes.mount import KernelMounts

    mounts = KernelMounts()
    for point in mounts.mounted(Path(root)):
        mounts.unmount(point)
