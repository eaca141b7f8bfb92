"""Settings of the server, validated before it starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.options.stream import SILENCE_SECONDS
from bark_onnx.runtime.server.api_keys import check_key

MAX_UPLOADS = 100  # voices in the uploads folder

_COUNTS = (
    "max_uploads_bytes",
    "max_text_characters",
    "max_body_bytes",
    "max_connections",
    "concurrency",
)


@dataclass(frozen=True)
class ServerSettings:
    """Settings that do not concern the loading of the bundle.

    Raises:
        OptionsError: A value is out of range.
    """

    model_id: str  # name of the bundle in /v1/models
    api_key: str | None = None  # bearer token of clients; None: not required
    api_key_file: Path | None = None  # file with further keys, one per line
    cors_origins: tuple[str, ...] = ()  # origins of web pages that may call the server
    allowed_hosts: tuple[str, ...] = ()  # further names in the header Host; "*": every name
    aliases: Mapping[str, str | None] | None = None  # other names of voices; None: OpenAI's names
    uploads: Path | None = None  # folder of uploaded voices; None: uploads are off
    max_uploads_bytes: int = 64 << 20  # of all uploaded voices
    max_text_characters: int = 4096  # of one request
    max_body_bytes: int = 1 << 20  # of one request; of an uploaded voice also when stored
    request_seconds: float = 1800.0  # from arrival to last byte
    client_seconds: float = 60.0  # to send the head, the body, or to continue reading
    client_share: float = 0.5  # of the queue for one client, a key or else an address
    max_connections: int = 500  # often a process may have no more than 1024 open files
    shutdown_seconds: float = 60.0  # for running requests, after a signal
    concurrency: int = 4  # segments of one text in the engine
    silence_seconds: float = SILENCE_SECONDS  # between two segments
    logs_texts: bool = False  # log the texts of requests
    warms_up: bool = True  # run a warm-up request before the server is ready

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} is {getattr(self, name)}, expected an integer from 1")
        for name in ("request_seconds", "client_seconds", "shutdown_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise OptionsError(f"{name} is {getattr(self, name)}, expected more than 0")
        if not 0 <= self.silence_seconds <= 10:
            raise OptionsError(f"silence_seconds is {self.silence_seconds}, expected 0 to 10")
        if not 0 < self.client_share <= 1:
            raise OptionsError(f"client_share is {self.client_share}, expected more than 0, to 1")
        for name in self.allowed_hosts:
            if re.fullmatch(r"\*|[\w.-]+|[0-9a-fA-F:]+", name) is None:
                raise OptionsError(
                    f"allowed_hosts has {name!r}, expected a name without scheme and port, or *"
                )
        if self.api_key is not None:
            check_key(self.api_key, "The API key")

    @property
    def requires_key(self) -> bool:
        """Whether requests need an API key."""
        return self.api_key is not None or self.api_key_file is not None
