"""The server with a scripted Bark, in a process of its own, with limits that are soon reached.

python -m tests.support.torture.scripted_server --port 0 --uploads FOLDER
"""

import argparse
import faulthandler
import signal
from pathlib import Path

from bark_onnx.runtime.server.server import serve
from bark_onnx.runtime.server.settings import ServerSettings
from tests.support.scripted_bark import ScriptedBark

CLIENT_SECONDS = 1.0  # to send a request, or to continue reading
REQUEST_SECONDS = 15.0  # for a response that is read steadily
MAX_CONNECTIONS = 40
MAX_BODY_BYTES = 100_000


def main() -> None:
    """Serve until a signal; SIGUSR2 prints the stacks of all threads."""
    faulthandler.register(signal.SIGUSR2)
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--uploads", type=Path)
    given = parser.parse_args()
    settings = ServerSettings(
        model_id="scripted",
        uploads=given.uploads,
        max_body_bytes=MAX_BODY_BYTES,
        max_connections=MAX_CONNECTIONS,
        client_seconds=CLIENT_SECONDS,
        request_seconds=REQUEST_SECONDS,
    )
    serve(settings, _scripted, host="127.0.0.1", port=given.port)  # type: ignore[arg-type]


def _scripted() -> ScriptedBark:
    return ScriptedBark()


if __name__ == "__main__":
    main()
