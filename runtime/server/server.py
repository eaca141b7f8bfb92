"""Runs the application until a signal, and then until running requests have finished."""

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bark_onnx.graphs.errors import ServerError
from bark_onnx.runtime import Bark
from bark_onnx.runtime.server.app import create_app
from bark_onnx.runtime.server.connections import IdleConnectionReaper
from bark_onnx.runtime.server.logs import configure_logs, log, log_warnings
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.settings import ServerSettings

_BACKLOG = 2048
_FLUSH_SECONDS = 5  # for responses that are being sent when the time to drain is over


class DrainingServer(uvicorn.Server):
    """Uvicorn server that listens while it drains, so that new requests get a 503."""

    def __init__(self, config: uvicorn.Config, service: SpeechService) -> None:
        super().__init__(config)
        self._service = service
        settings = service.settings
        self._reaper = IdleConnectionReaper(
            client_seconds=settings.client_seconds,
            request_seconds=settings.request_seconds,
            limit=settings.max_connections,
        )

    def stop(self) -> None:
        """Start to drain, like a signal."""
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; called ten times a second."""
        should_stop = await super().on_tick(counter)
        self._reaper.sweep(self._connections(), asyncio.get_running_loop().time())
        if not should_stop:
            return False
        admission = self._service.admission
        if not admission.is_draining:
            log.info("shutting down", extra={"fields": {"running": admission.running}})
            admission.drain()
        passed_at = admission.drain_deadline_passed_at
        if passed_at is not None and _seconds_since(passed_at) > _FLUSH_SECONDS:
            self._reaper.drop_all(self._connections())
        return admission.running == 0 or self.force_exit or self._service.startup_error is not None

    def _connections(self) -> list[H11Protocol]:
        return [each for each in self.server_state.connections if isinstance(each, H11Protocol)]


def _seconds_since(moment: float) -> float:
    return asyncio.get_running_loop().time() - moment


def serve(
    settings: ServerSettings,
    load: Callable[[], Bark],
    *,
    host: str,
    port: int,
    log_level: str = "info",
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: Settings of the server.
        load: Function that returns the bundle; called in a worker thread.
        host: Address or name to listen on.
        port: TCP port; 0 selects a free one.
        log_level: Lowest level that is logged: debug, info, warning or error.

    Raises:
        ServerError: The address is not available.
        BarkError: The bundle cannot be loaded.
    """
    configure_logs(log_level)
    log_warnings()

    service = SpeechService(settings, load)
    server = make_server(service)
    with open_socket(host, port) as listener:
        address, port = listener.getsockname()[:2]
        netloc = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        log.info("listening", extra={"fields": {"url": f"http://{netloc}"}})
        server.run(sockets=[listener])
    if service.startup_error is not None:
        raise service.startup_error


def make_server(service: SpeechService) -> DrainingServer:
    """Create a server that stops if the bundle cannot be loaded."""
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http="h11",  # whose connections the reaper inspects
        ws="none",
        timeout_graceful_shutdown=_FLUSH_SECONDS,
    )
    server = DrainingServer(config, service)
    service.on_startup_error = server.stop
    return server


def open_socket(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        ServerError: The address is not available.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ServerError(
            f"{host}:{port}: cannot listen on this address ({error.strerror}); "
            "choose another --host or --port"
        ) from error
