"""The embedded container runtime: images, sandboxes, containers, OCI spec, conmon, CNI."""
