"""Bodies of requests, within limits of size and time, and of memory for all together."""

import asyncio

from starlette.types import Message, Receive

from bark_onnx.runtime.server.errors import ApiError
from bark_onnx.runtime.server.settings import ServerSettings

_MIN_BYTES_IN_TOTAL = 64 << 20
_RETRY_SECONDS = 1
_SPARE_SECONDS = 0.2  # after the time limit, to read what has arrived while the server was busy


class BodyLimits:
    """Limits of all requests' bodies. The oldest unfinished ones give way to newer ones.

    Args:
        settings: Limits of one body; four of the longest fit into the memory for all.

    Attributes:
        held_bytes: Memory of all unfinished bodies.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.max_bytes = settings.max_body_bytes
        self.seconds = settings.client_seconds
        self.held_bytes = 0
        self._max_held_bytes = max(_MIN_BYTES_IN_TOTAL, 4 * settings.max_body_bytes)
        self._unfinished: dict[LimitedBody, None] = {}  # oldest first

    def check_length(self, content_length: str) -> None:
        """Refuse a body whose stated length exceeds the limit.

        Raises:
            ApiError: The body is too long.
        """
        if content_length.isdecimal() and int(content_length) > self.max_bytes:
            raise ApiError(413, self.too_long)

    @property
    def too_long(self) -> str:
        """Message about a body that is too long."""
        return f"The body is too long; expected at most {self.max_bytes} bytes"

    def hold(self, body: "LimitedBody", size: int) -> None:
        """Count memory of a body, and give up the oldest ones if it is too much."""
        self._unfinished[body] = None
        body.held_bytes += size
        self.held_bytes += size
        while self.held_bytes > self._max_held_bytes:
            oldest = next(iter(self._unfinished))
            self.release(oldest)
            oldest.give_up()

    def release(self, body: "LimitedBody") -> None:
        """Stop to count a body: it is complete, or its request has ended."""
        self._unfinished.pop(body, None)
        self.held_bytes -= body.held_bytes
        body.held_bytes = 0


class LimitedBody:
    """One request's body, as an ASGI callable.

    `read` awaits all of it before the application is called: an unfinished body costs little, and
    an error has the form of this server's.

    Attributes:
        held_bytes: Memory of the body while it is unfinished.
    """

    def __init__(self, receive: Receive, limits: BodyLimits) -> None:
        self.held_bytes = 0
        self._receive = receive
        self._limits = limits
        self._timeout: asyncio.Timeout | None = None  # of `read`
        self._is_given_up = False
        self._whole: Message | None = None  # for the application

    async def __call__(self) -> Message:
        """Receive the next message of ASGI."""
        if self._whole is None:
            return await self._receive()
        message, self._whole = self._whole, None
        return message

    async def read(self) -> bool:
        """Read the whole body; False if the client disconnects before its end.

        Raises:
            ApiError: The body is too long, incomplete for too long, or gave way to newer ones.
        """
        seconds, loop = self._limits.seconds, asyncio.get_running_loop()
        chunks: list[bytes] = []
        timer = loop.call_later(seconds, self._expire, loop)
        try:
            async with asyncio.timeout(None) as self._timeout:
                while not self._is_given_up:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        return False
                    self._add(chunks, message.get("body", b""))
                    if not message.get("more_body", False):
                        self._whole = {**message, "body": b"".join(chunks)}
                        return True
        except TimeoutError:
            if not self._is_given_up:
                expected = f"expected all of it within {seconds:g} s"
                raise ApiError(408, f"The body is incomplete; {expected}") from None
        finally:
            timer.cancel()
            self._timeout = None
            self._limits.release(self)
        raise ApiError(
            503,
            "Too many bodies are incomplete; send the request again",
            retry_seconds=_RETRY_SECONDS,
        )

    def give_up(self) -> None:
        """End `read` with an error."""
        self._is_given_up = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(0)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timeout is not None and not self._is_given_up:
            self._timeout.reschedule(loop.time() + _SPARE_SECONDS)

    def _add(self, chunks: list[bytes], chunk: bytes) -> None:
        chunks.append(chunk)
        self._limits.hold(self, len(chunk))
        if self.held_bytes > self._limits.max_bytes:
            raise ApiError(413, self._limits.too_long)
