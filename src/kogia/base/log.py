"""Logging set-up, once per process: one line per record on stderr, or JSON lines.

Never log the content of Secrets, tokens or keys; cut bodies to `CUT` characters.
"""

from __future__ import annotations

import json
import logging
import sys
import time

CUT = 256


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"ts": round(record.created, 6), "level": record.levelname.lower(), "logger": record.name, "msg": record.getMessage()}
        if record.exc_info:
            line["exc"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """`I1121 08:00:00.123456 kogia.kubelet message`, close to klog's line."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%m%d %H:%M:%S", time.gmtime(record.created))
        text = f"{record.levelname[0]}{moment}.{int(record.created % 1 * 1e6):06d} {record.name} {record.getMessage()}"
        return text + "\n" + self.formatException(record.exc_info) if record.exc_info else text


def setup(level: str = "info", fmt: str = "text") -> None:
    """Install the handler on the root logger. `level` is a logging level's name, `fmt` is `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def cut(text: str | bytes) -> str:
    """`text` shortened to at most `CUT` characters for a log line."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return text if len(text) <= CUT else text[:CUT] + f"… ({len(text)} characters)"
