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


def log_config(level: str) -> dict[str, Any]:
    """Configuration for `logging.config.dictConfig`: events of this server and of uvicorn.

    Args:
        level: Lowest level that is logged: debug, info, warning or error.
    """
    logger = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonLines}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {
            log.name: logger,
            "uvicorn": {**logger, "level": "WARNING"},
            "uvicorn.error": {"level": "WARNING"},
            "asyncio": {**logger, "level": "WARNING"},
        },
    }


def log_warnings() -> None:
    """Log warnings without their message, which may quote the text of a request."""

    def show(message: Warning | str, category: type[Warning], filename: str, *_: object) -> None:
        fields = {"category": category.__name__, "file": filename}
        log.warning("warning", extra={"fields": fields})

    warnings.showwarning = show  # type: ignore[assignment]
