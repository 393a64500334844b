"""The CRI across a socket: gRPC on HTTP/2, both as a server (so that `crictl` works) and as a client (for containerd, CRI-O).

framing.py      gRPC's frames, statuses and deadlines; pure
descriptors.py  protobuf classes made at run time from the published descriptor
codec.py        kogia.cri.types dataclasses ↔ protobuf messages
http2.py        one HTTP/2 connection on asyncio, over the sans-I/O library h2
server.py       listens; loads the rest at the first connection, because an idle node has none
session.py      one served connection: methods to calls
client.py       RuntimeService and ImageService over a foreign socket
"""
