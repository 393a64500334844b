"""One HTTP/2 connection on asyncio streams: h2 decides, this moves bytes.

A subclass handles events of streams; `send_data` waits for the peer's flow-control windows. Invariants: everything h2 wants sent is written
before the loop waits again; a stream's buffered input is bounded by the subclass, its window refilled as it is taken in.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

WINDOW = 1 << 20  #: bytes a peer may send ahead on one stream
CONNECTION_WINDOW = 8 << 20
MAX_STREAMS = 256
MAX_HEADERS_BYTES = 64 << 10


class Gone(Exception):
    """The stream or its connection has ended: nobody wants the data."""


class Http2:
    """Both sides' common part."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool) -> None:
        self._reader, self._writer = reader, writer
        config = h2.config.H2Configuration(client_side=client, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        self.h2.local_settings = h2.settings.Settings(
            client=client,
            initial_values={
                codes.INITIAL_WINDOW_SIZE: WINDOW,
                codes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                codes.MAX_HEADER_LIST_SIZE: MAX_HEADERS_BYTES,
                codes.ENABLE_PUSH: 0,
            },
        )
        self._window_moved = asyncio.Event()
        self.closed = False

    def start(self) -> None:
        """Put the connection's preface into the transport; calls may be sent from now on."""
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(CONNECTION_WINDOW)
        self.flush()

    async def read(self) -> None:
        """Serve the started connection until it ends. Never raises for what the peer does."""
        try:
            while not self.closed:
                data = await self._reader.read(65536)
                if not data:
                    break
                for event in self.h2.receive_data(data):
                    self._event(event)
                self.flush()
                await self._writer.drain()
        except (h2.exceptions.ProtocolError, OSError):
            pass  # h2 has put its GOAWAY into the outbound buffer
        finally:
            self.shut()

    def _event(self, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.on_data(event.stream_id, event.data or b"")
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._wake()
        elif isinstance(event, h2.events.StreamEnded):
            self.on_end(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._wake()
            self.on_reset(event.stream_id)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.on_goaway()
        elif isinstance(event, h2.events.RequestReceived | h2.events.ResponseReceived | h2.events.TrailersReceived):
            self.on_headers(event.stream_id, [(str(k), str(v)) for k, v in event.headers or []])

    # -- what a subclass fills in -----------------------------------------------------------------------------------

    def on_headers(self, stream_id: int, headers: list[tuple[str, str]]) -> None: ...

    def on_data(self, stream_id: int, data: bytes) -> None: ...

    def on_end(self, stream_id: int) -> None: ...

    def on_reset(self, stream_id: int) -> None: ...

    def on_goaway(self) -> None: ...

    def on_closed(self) -> None: ...

    # -- sending ----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        if (data := self.h2.data_to_send()) and not self._writer.is_closing():
            self._writer.write(data)

    def send_headers(self, stream_id: int, headers: list[tuple[str, str]], *, end: bool = False) -> None:
        """Errors: Gone."""
        try:
            self.h2.send_headers(stream_id, headers, end_stream=end)
        except h2.exceptions.ProtocolError:
            raise Gone from None
        self.flush()

    async def send_data(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Send all of `data`, as the peer's windows allow. Errors: Gone. Cancel: leaves the stream half sent; reset it."""
        view = memoryview(data)
        while True:
            try:
                room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
                if view and room <= 0:
                    if self.closed:
                        raise Gone
                    self._window_moved.clear()
                    await self._window_moved.wait()
                    continue
                piece, view = view[:room], view[room:]
                self.h2.send_data(stream_id, bytes(piece), end_stream=end and not view)
            except h2.exceptions.ProtocolError:
                raise Gone from None
            self.flush()
            try:
                await self._writer.drain()
            except OSError:
                raise Gone from None
            if not view:
                return

    def reset(self, stream_id: int) -> None:
        """Tell the peer that the stream is given up. Idempotent."""
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self.h2.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
            self.flush()

    def shut(self) -> None:
        """End the connection. Idempotent."""
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(h2.exceptions.ProtocolError, OSError):
            self.h2.close_connection()
            self.flush()
        self._writer.close()
        self._wake()
        self.on_closed()

    def _wake(self) -> None:
        self._window_moved.set()
