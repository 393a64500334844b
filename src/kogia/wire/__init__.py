"""Bytes on connections: HTTP/1.1 server and client, WebSocket and SPDY/3.1 framing, remote-command channels.

Shared by the API server, the kubelet's server, clients and the command line. Knows HTTP and framing, not Kubernetes objects.
"""
