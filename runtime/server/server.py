"""Runs the application until a signal comes and what was accepted is answered."""

import asyncio
import logging.config
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bark_onnx.graphs.errors import ServerError
from bark_onnx.runtime import Bark
from bark_onnx.runtime.server.app import create_app
from bark_onnx.runtime.server.connections import IdleConnectionReaper
from bark_onnx.runtime.server.logs import log, log_config, log_warnings
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.settings import ServerSettings

_BACKLOG = 2048
_LAST_SECONDS = 5  # for answers on their way when the time of those inside is over


class DrainingServer(uvicorn.Server):
    """Uvicorn, which at a signal goes on listening, so that what is new gets an answer, too."""

    def __init__(self, config: uvicorn.Config, service: SpeechService) -> None:
        super().__init__(config)
        self._service = service
        settings = service.settings
        self._watch = IdleConnectionReaper(
            client_seconds=settings.client_seconds,
            request_seconds=settings.request_seconds,
            most=settings.max_connections,
        )

    def stop(self) -> None:
        """Begin to end, as a signal does."""
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop now: called ten times a second."""
        is_asked_to_stop = await super().on_tick(counter)
        self._watch.look(self._connections(), asyncio.get_running_loop().time())
        if not is_asked_to_stop:
            return False
        gate = self._service.gate
        if not gate.draining:
            log.info("shutting down", extra={"fields": {"active": gate.count}})
            gate.drain()
        if gate.over_since is not None and _since(gate.over_since) > _LAST_SECONDS:
            self._watch.drop_all(self._connections())
        return gate.count == 0 or self.force_exit or self._service.failure is not None

    def _connections(self) -> list[H11Protocol]:
        return [each for each in self.server_state.connections if isinstance(each, H11Protocol)]


def _since(moment: float) -> float:
    return asyncio.get_running_loop().time() - moment


def serve(
    settings: ServerSettings,
    load: Callable[[], Bark],
    *,
    host: str,
    port: int,
    log_level: str = "info",
) -> None:
    """Listen until SIGTERM or SIGINT.

    Args:
        settings: of the server.
        load: gives the bundle.
        host: address or name to listen at.
        port: 0 takes a free one.
        log_level: debug, info, warning or error.

    Raises:
        ServerError: the address cannot be had.
        BarkError: the bundle cannot be loaded.
    """
    logging.config.dictConfig(log_config(log_level))
    log_warnings()

    service = SpeechService(settings, load)
    server = make_server(service)
    with open_socket(host, port) as listener:
        address, found = listener.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        log.info("listening", extra={"fields": {"url": f"http://{shown}:{found}"}})
        server.run(sockets=[listener])
    if service.failure is not None:
        raise service.failure


def make_server(service: SpeechService) -> DrainingServer:
    """A server for a service, which stops when the bundle cannot be loaded."""
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http="h11",  # what the watch of connections knows
        ws="none",
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    server = DrainingServer(config, service)
    service.on_failure = server.stop
    return server


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ServerError: the address cannot be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ServerError(
            f"{host}:{port}: cannot listen there ({error.strerror}); "
            "choose another --host or --port"
        ) from error
