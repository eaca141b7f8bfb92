"""Servers with a known defect each, in place of bark-onnx serve: the judges have to find them.

python -m tests.support.torture.planted_server "5xx" --port 0 --uploads FOLDER
"""

import argparse
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_ERROR = {"message": "no\nno", "type": "x", "param": None, "code": None}


class _Handler(BaseHTTPRequestHandler):
    """Answers as a server without a defect, apart from the planted one, after /ready."""

    defect = ""
    uploads = Path()
    timeout = 1.0  # as --client-seconds

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        if self.path == "/ready":
            self._answer(200, b"{}")
        else:
            self.do_POST()

    def do_POST(self) -> None:
        {
            "none": lambda: self._answer(200, b"{}"),
            "5xx": lambda: self._answer(502, b"bad gateway"),
            "a 5xx that looks like a documented one": lambda: self._answer(
                503, json.dumps({"error": {**_ERROR, "code": "tired"}}).encode()
            ),
            "a traceback in the log": self._log_traceback,
            "an error of two lines": lambda: self._answer(
                400, json.dumps({"error": _ERROR}).encode()
            ),
            "no error in the body": lambda: self._answer(400, b"no"),
            "no response": lambda: time.sleep(1000),
            "a lost file": self._lose_file,
            "a file too many": self._leave_file,
            "its end": lambda: os._exit(3),
        }[self.defect]()

    def _log_traceback(self) -> None:
        print("Traceback (most recent call last):", file=sys.stderr, flush=True)
        time.sleep(0.1)
        self._answer(200, b"{}")

    def _lose_file(self) -> None:
        (self.uploads.parent / "victim").write_bytes(b"")
        self._answer(200, b"{}")

    def _leave_file(self) -> None:
        (self.uploads.parent / "me.npz.partial").write_bytes(b"")
        self._answer(200, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Patient(_Handler):
    """Keeps every connection open."""

    timeout = None  # type: ignore[assignment]


def main() -> None:
    """Serve on a free port until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("defect")
    parser.add_argument("--port", type=int)
    parser.add_argument("--uploads", type=Path)
    given = parser.parse_args()
    is_patient = given.defect == "connections that stay"
    handler = _Patient if is_patient else _Handler
    handler.defect, handler.uploads = "none" if is_patient else given.defect, given.uploads
    server = ThreadingHTTPServer(("127.0.0.1", given.port), handler)
    url = f"http://127.0.0.1:{server.server_port}"
    print(
        json.dumps({"event": "listening", "level": "info", "url": url}), file=sys.stderr, flush=True
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
