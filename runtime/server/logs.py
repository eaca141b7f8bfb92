"""Logs as JSON lines on stderr, one object per event."""

import json
import logging
import time
import warnings
from typing import Any

log = logging.getLogger("bark_onnx.server")


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, event, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, in ASCII so that line breaks in a text are escaped."""
        line: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (the name is logging's)
        """Return UTC with milliseconds in ISO 8601."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{record.msecs:03.0f}Z"


def configure_logs(level: str) -> None:
    """Write events of this server, and warnings of uvicorn and asyncio, as JSON lines to stderr.

    Args:
        level: Lowest level of this server's events: debug, info, warning or error.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in (log.name, "uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper() if logger is log else logging.WARNING)


def log_warnings() -> None:
    """Log warnings without their message, which may quote the text of a request."""

    def show(message: Warning | str, category: type[Warning], filename: str, *_: object) -> None:
        fields = {"category": category.__name__, "file": filename}
        log.warning("warning", extra={"fields": fields})

    warnings.showwarning = show  # type: ignore[assignment]
