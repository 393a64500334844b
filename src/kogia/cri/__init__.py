"""The seam between kubelet and container runtime: the Container Runtime Interface, v1, in Python's words."""
