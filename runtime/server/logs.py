"""Logs as JSON lines on stderr, one object per event."""

import json
import logging
import threading
import time
import warnings
from contextvars import ContextVar
from typing import Any

log = logging.getLogger("bark_onnx.server")

# Id of the request that is answered, which every line has that is logged meanwhile.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, event, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, in ASCII so that line breaks in a text are escaped."""
        line: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
        }
        if record.name != log.name:
            line["logger"] = record.name
        if (found := request_id.get()) is not None:
            line["request_id"] = found
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (the name is logging's)
        """Return UTC with milliseconds in ISO 8601."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{record.msecs:03.0f}Z"


def configure_logs(level: str) -> None:
    """Write events of this server, and warnings of all libraries, as JSON lines to stderr.

    Args:
        level: Lowest level of this server's events: debug, info, warning or error.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    log.setLevel(level.upper())
    threading.excepthook = _log_exception_of_thread


def log_warnings() -> None:
    """Log warnings without their message, which may quote the text of a request."""

    def show(message: Warning | str, category: type[Warning], filename: str, *_: object) -> None:
        fields = {"category": category.__name__, "file": filename}
        log.warning("warning", extra={"fields": fields})

    warnings.showwarning = show  # type: ignore[assignment]


def _log_exception_of_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit and failed.exc_value is not None:
        name = failed.thread.name if failed.thread is not None else None
        error = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        log.error("thread failed", exc_info=error, extra={"fields": {"thread": name}})
