"""Logs as JSON lines on stderr, one object an event."""

import json
import logging
import time
import warnings
from typing import Any

log = logging.getLogger("bark_onnx.serve")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; ASCII, so that no text can break it."""
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
        """UTC with milliseconds, as ISO 8601 writes it."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{record.msecs:03.0f}Z"


def log_config(level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: this server's and uvicorn's events as JSON lines.

    Args:
        level: the least that is logged: debug, info, warning or error.
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
    """Log warnings without their words, which may quote the text of a request."""

    def show(message: Warning | str, category: type[Warning], filename: str, *_: object) -> None:
        fields = {"category": category.__name__, "file": filename}
        log.warning("warning", extra={"fields": fields})

    warnings.showwarning = show  # type: ignore[assignment]
