"""The image `kogia quickstart` runs: this machine's static busybox, made into an image on the spot."""

from __future__ import annotations

from kogia.base.cluster import ClusterConfig, ConfigError
from kogia.main import node

NAME = "localhost/kogia-demo:latest"


def make_demo_image(config: ClusterConfig) -> None:
    """Idempotent; safe beside a running node. Errors: ConfigError if there is no busybox."""
    from kogia.runtime.images.build import RunConfig, build_rootfs, busybox
    from kogia.runtime.images.store import ImageStore

    try:
        files = busybox()
    except OSError as error:
        raise ConfigError("the demo image needs a static busybox: install busybox-static") from error
    run = RunConfig(cmd=["sh"], env=["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
    build_rootfs(ImageStore(node.image_root(config), sweep=False), NAME, files=files, run=run)
