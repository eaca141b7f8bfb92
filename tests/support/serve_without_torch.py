"""Requests every format from a server that has only the base packages: for `make test-lowest`."""

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

COMMAND = Path(sys.executable).with_name("bark-onnx")
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")


def wait_until_ready(url: str) -> None:
    for _ in range(600):
        try:
            urlopen(f"{url}/ready").close()
        except HTTPError:
            time.sleep(0.1)
        else:
            return
    sys.exit("the server is not ready after a minute")


def request_speech(url: str, audio_format: str) -> bytes:
    # A changed speed runs FFmpeg's filters as well as its encoders.
    fields = {"input": "Hello. Good night.", "response_format": audio_format, "speed": 1.2}
    headers = {"content-type": "application/json"}
    address = f"{url}/v1/audio/speech"
    with urlopen(Request(address, json.dumps(fields).encode(), headers)) as response:
        return response.read()


server = subprocess.Popen(
    [COMMAND, "serve", "-m", sys.argv[1], "--port", "0", "--log-level", "info"],
    stderr=subprocess.PIPE,
    text=True,
)
try:
    assert server.stderr is not None
    address = json.loads(server.stderr.readline())["url"]
    wait_until_ready(address)
    for name in FORMATS:
        body = request_speech(address, name)
        assert len(body) > 5000, (name, len(body))
        print(f"{name}: {len(body)} bytes")
finally:
    server.kill()
