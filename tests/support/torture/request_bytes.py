"""Bytes of requests with bad fields, headers, paths, forms, and of what is no HTTP."""

import json
from collections.abc import Iterable
from random import Random

from bark_onnx.runtime.server.speech_request import SpeechRequest
from tests.support.torture.bad_json import BAD_VALUES
from tests.support.torture.damage import mutate
from tests.support.torture.mutants import mutant

JSON = "content-type: application/json"
SPEECH, VOICES = "/v1/audio/speech", "/v1/audio/voices"
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get")
PATHS = (
    *("/", "/health", "/ready", "/metrics", "/openapi.json", "/v1/models", "/v1/models/scripted"),
    *(
        SPEECH,
        VOICES,
        f"{VOICES}/v1",
        f"{VOICES}/../../x",
        "/v1/models/%2e%2e%2f",
        "//",
        "/%00",
    ),
    *("/page/page.js", "/page/../settings.py", "/page/%2e%2e/x", "/page/", "/docs", "/%ff", "/é"),
    *(
        "/%00",
        "*",
        "http://other.example/health",
        "",
        "?",
        "/health?x=\x7f",
        f"/{'x' * 3000}",
        "/health/.",
    ),
    *(f"{VOICES}/{'y' * 300}", f"{VOICES}/%0d%0aset-cookie:%20a=b", "/v1/models/\u202e", "/#"),
)
_TEXTS = (
    *("Hello", "", " ", "\u202e", "\x00", "😀", "x" * 5000, "a\nb: c", "A: Hi.\nB: Ho.", "\ud800"),
    *("<script>", "../../x", "alloy", "v2/en_speaker_0", "german", "wav", "pcm", "opus", "aac"),
    *("sse", "audio", "previous", "en", "tts-1", "mp3", "flac", "v1", "'; --", "%s", "{n}"),
)
HEADERS = (
    *(
        "content-type: text/plain",
        "content-type: application/json; charset=utf-16",
        "content-type:",
    ),
    *("content-type:", "content-length: 5", "content-length: -1", "content-length: 1e3"),
    *(
        "content-length: 99999999",
        "transfer-encoding: chunked",
        "transfer-encoding: gzip",
        "content-encoding: gzip",
    ),
    *("host: evil.example", "host:", "host: localhost:99999", "host: [::1", "origin: null"),
    *("origin: https://evil.example", "sec-fetch-site: cross-site", "authorization: Bearer x"),
    *("authorization: \xff", "expect: 100-continue", "expect: 200-maybe", "range: bytes=0-1"),
    *("upgrade: websocket", "connection: upgrade", "x: " + "y" * 9000, "x:y\rz", "x\x00: y", ": y"),
    *("accept: \u202e", "cookie: " + "a=b; " * 300, "x-forwarded-for: ::", "if-none-match: *"),
    *("x-forwarded-for: not an address, 1.2.3.4", "x-forwarded-proto: javascript", "trailer: x"),
)
JUNK = (
    *(
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /health\r\n\r\n",
        b"\r\n\r\n",
        b"\x00",
    ),
    *(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"{}\r\n\r\n",
    ),
)
TOKENS = [
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b":",
    b"0\r\n\r\n",
    b"{",
    b'"',
    b"[" * 500,
    b"\xff",
    b"1e999",
]
NAMES = (
    "v1",
    "v2",
    "v3",
    "",
    "../x",
    "a/b",
    "alloy",
    "x" * 65,
    "é",
    "\x00",
    "CON",
    "v1.npz",
    ".x",
)


def request(method: str, path: str, body: bytes = b"", headers: Iterable[str] = (JSON,)) -> bytes:
    """The bytes of a request; a header may replace the length, the host or the type of the body."""
    given = {name.partition(":")[0] for name in headers}
    needed = {"host": "localhost", "content-length": str(len(body)), "connection": "close"}
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in needed.items() if name not in given]
    head = "\r\n".join([*lines, *headers, "\r\n"])
    return head.encode("utf-8", "surrogatepass") + body


def speech(rng: Random, bad_fields: int) -> bytes:
    """The JSON of a speech, some of whose fields have bad values."""
    body = {"input": '"Hello"', "response_format": rng.choice(['"wav"', '"pcm"', '"mp3"'])}
    for _ in range(bad_fields):
        value = rng.choice([*BAD_VALUES.values(), *(json.dumps(text) for text in _TEXTS)])
        body[rng.choice([*SpeechRequest.model_fields, "unknown"])] = value
    items = [f"{json.dumps(name)}: {value}" for name, value in body.items()]
    return f"{{{', '.join(items)}}}".encode("utf-8", "surrogatepass")


def form(rng: Random, voice: bytes) -> tuple[bytes, list[str]]:
    """A form with a file that may be a voice."""
    file = (
        mutant(rng)
        if rng.random() < 0.6
        else rng.choice([voice, b"", rng.randbytes(99), voice * 30])
    )
    boundary = rng.choice(["b", "b" * 70, "b b", "é"]) if rng.random() < 0.2 else "boundary"
    name = rng.choice(NAMES).encode()
    disposition = b'--%b\r\ncontent-disposition: form-data; name="' % boundary.encode()
    filename = rng.choice([b"me.npz", b"", b"../x.npz", b"\xff", b"x" * 300])
    parts = [
        b'%bname"\r\n\r\n%b\r\n' % (disposition, name),
        b'%bfile"; filename="%b"\r\n\r\n%b\r\n' % (disposition, filename, file),
    ]
    body = b"".join(parts) + b"--%b--\r\n" % boundary.encode()
    if rng.random() < 0.15:
        body = mutate(body, rng, TOKENS)
    elif rng.random() < 0.1:
        body = b"".join(rng.choice([[], parts[:1], parts[1:], parts * 2]))
    return body, [f"content-type: multipart/form-data; boundary={boundary}"]
