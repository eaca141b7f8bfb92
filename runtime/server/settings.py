"""How the server behaves, checked before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.options.stream import SILENCE_SECONDS

MAX_UPLOADS = 100  # voices in the uploads folder


@dataclass(frozen=True)
class ServerSettings:
    """Everything about the server that is not about the bundle.

    Raises:
        OptionsError: a value is out of range.
    """

    model_id: str  # what /v1/models calls the bundle
    api_key: str | None = None  # what clients must send as bearer token; None: nothing
    cors_origins: tuple[str, ...] = ()  # web sites whose pages may call the server
    aliases: Mapping[str, str | None] | None = None  # voice names of clients; None: OpenAI's
    uploads: Path | None = None  # folder of uploaded voices; None: nobody can upload
    max_text_characters: int = 4096  # of one request
    max_body_bytes: int = 1 << 20  # of one request, uploads included
    request_seconds: float = 1800.0  # from a request's arrival to its last byte
    client_seconds: float = 60.0  # to send a request's head, its body, or to go on reading
    max_connections: int = 500  # at once; a process may often have no more than 1024 files open
    shutdown_seconds: float = 60.0  # what runs may take this long after a signal to end
    pieces_at_once: int = 4  # pieces of one text in the queue or running together
    silence_seconds: float = SILENCE_SECONDS  # between two pieces of one text
    logs_texts: bool = False  # whether the texts of requests are logged
    warms_up: bool = True  # whether something is said before the server is ready

    def __post_init__(self) -> None:
        for name in ("max_text_characters", "max_body_bytes", "max_connections", "pieces_at_once"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} is {getattr(self, name)}, expected an integer from 1")
        for name in ("request_seconds", "client_seconds", "shutdown_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise OptionsError(f"{name} is {getattr(self, name)}, expected more than 0")
        if not 0 <= self.silence_seconds <= 10:
            raise OptionsError(f"silence_seconds is {self.silence_seconds}, expected 0 to 10")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise OptionsError("The API key has a character that HTTP cannot carry; expected ASCII")
        if self.api_key == "":
            raise OptionsError("The API key is empty; expected a secret, or none at all")
