"""Random requests to the server: bodies, fields, headers, methods, paths, uploads, and no HTTP."""

import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from bark_onnx.graphs.voices.voice import Voice
from tests.support.torture.bad_json import BAD_VALUES
from tests.support.torture.damage import mutate
from tests.support.torture.materials import Materials
from tests.support.torture.outcomes import Outcome, Verdict
from tests.support.torture.request_bytes import (
    HEADERS,
    JSON,
    JUNK,
    METHODS,
    NAMES,
    PATHS,
    SPEECH,
    TOKENS,
    VOICES,
    form,
    request,
    speech,
)
from tests.support.torture.servers import (
    Response,
    ServerSubject,
    judge_response,
)
from tests.support.torture.trees import tree

_VICTIM = b"irreplaceable"
_KINDS = {
    "fields": 6,
    "mutant of a body": 3,
    "other JSON": 1,
    "path": 3,
    "header": 4,
    "upload": 5,
    "no HTTP": 2,
}


@dataclass(frozen=True)
class RequestCase:
    """A request.

    Attributes:
        kind: What is bad about it.
        content: Its bytes.
        method: Its method, if it has one.
    """

    kind: str
    content: bytes
    method: str | None = None


class Requests(ServerSubject[RequestCase]):
    """Random requests to a server process."""

    name = "requests"
    cases = 1000

    def __init__(self, materials: Materials, **given: Any) -> None:
        super().__init__(materials, **given)
        self._place = Path()

    @contextmanager
    def ready(self, folder: Path) -> Iterator[None]:
        self._place = folder
        (folder / "victim").write_bytes(_VICTIM)
        with super().ready(folder):
            yield

    def make(self, rng: Random) -> RequestCase:
        (kind,) = rng.choices([*_KINDS], [*_KINDS.values()])
        if kind == "no HTTP":
            content = rng.choice([*JUNK, rng.randbytes(60)])
            whole = request("POST", SPEECH, speech(rng, 0))
            return RequestCase(kind, rng.choice([content, mutate(whole, rng, TOKENS)]))
        method, path, body, headers = "POST", SPEECH, speech(rng, 0), [JSON]
        if kind == "fields":
            body = speech(rng, rng.choice([1, 1, 2, 4]))
        elif kind == "mutant of a body":
            body = mutate(speech(rng, 0), rng, TOKENS)
        elif kind == "other JSON":
            body = rng.choice([*BAD_VALUES.values()]).encode("utf-8", "surrogatepass")
        elif kind == "path":
            method, path = rng.choice(METHODS), rng.choice(PATHS)
            body, headers = (body, headers) if rng.random() < 0.3 else (b"", [])
        elif kind == "header":
            headers = [*headers, *rng.sample(HEADERS, rng.choice([1, 1, 2, 5]))]
            method, path = rng.choice([("POST", SPEECH), ("GET", "/health"), ("GET", "/v1/models")])
        elif rng.random() < 0.25:
            method, path, body = "DELETE", f"{VOICES}/{quote(rng.choice(NAMES))}", b""
        else:
            path, (body, headers) = VOICES, form(rng, self._materials.voice)
        return RequestCase(kind, request(method, path, body, headers), method)

    def judge(self, case: RequestCase, folder: Path) -> Verdict:
        assert self._served is not None
        try:
            response = self._served.ask(case.content, method=case.method)
        except TimeoutError:
            return self._served.hang(f"no response within {self._seconds} s")
        verdict = judge_response(response, case.method)
        if response.status == 0 and case.kind not in ("no HTTP", "header", "path"):
            verdict = Verdict(Outcome.TRACEBACK, "the connection ended without a response")
        _check_content(case, response)
        self._check_files()
        return self._served.verdict_of(verdict)

    def _check_files(self) -> None:
        """Check that there are only uploaded voices, under names that clients may choose."""
        found = {path: kind for path, kind in tree(self._place).items() if kind != "folder"}
        names = {f"uploads/{name}.npz" for name in NAMES[:3]}
        assert set(found) <= {"victim", *names}, f"files: {sorted(found)}"
        assert (self._place / "victim").read_bytes() == _VICTIM
        for name in names & set(found):
            Voice.load(self._place / name)


def _check_content(case: RequestCase, response: Response) -> None:
    """Check that a speech is sound, or events with sound."""
    kind = response.headers.get("content-type", "")
    if response.status != 200 or case.method in (None, "HEAD"):
        return
    if kind.startswith("audio/"):
        assert response.body, "the sound is empty"
    if kind.startswith("audio/wav"):
        with wave.open(io.BytesIO(response.body)) as sound:
            assert sound.getsampwidth() == 2
            assert len(response.body) > 44
    if kind.startswith("text/event-stream"):
        assert b"speech.audio.done" in response.body or b"event: error" in response.body
