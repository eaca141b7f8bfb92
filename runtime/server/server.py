"""Runs the application until a signal, and then until running requests have finished."""

import asyncio
import dataclasses
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn

from bark_onnx.graphs.errors import ServerError
from bark_onnx.graphs.interrupts import delayed_interrupts
from bark_onnx.runtime import Bark
from bark_onnx.runtime.server.app import create_app
from bark_onnx.runtime.server.connections import Connection
from bark_onnx.runtime.server.listener import BoundedListener, limit_by_files, raise_file_limit
from bark_onnx.runtime.server.logs import configure_logs, log, log_warnings
from bark_onnx.runtime.server.reaper import ConnectionReaper
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.settings import ServerSettings
from bark_onnx.runtime.server.unix_socket import open_unix_socket

_BACKLOG = 2048
_FLUSH_SECONDS = 5  # for responses that are being sent when the time to drain is over
_FORCED_FLUSH_SECONDS = 1  # the same after a second signal


class DrainingServer(uvicorn.Server):
    """Uvicorn server that listens while it drains, so that new requests get a 503.

    A second signal ends it at once.

    Attributes:
        on_shutdown: Called at the end, before the signal that caused it is raised again.
    """

    def __init__(
        self, config: uvicorn.Config, service: SpeechService, reaper: ConnectionReaper
    ) -> None:
        super().__init__(config)
        self._service = service
        self._reaper = reaper
        self._second_signal: int | None = None
        self.on_shutdown: Callable[[], object] = lambda: None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on listening sockets until the server has stopped."""
        limit = self._service.settings.max_connections
        with ExitStack() as opened:
            listeners = [
                opened.enter_context(BoundedListener(each, self._reaper, limit))
                for each in sockets or []
            ]
            super().run(list[socket.socket](listeners))

    def stop(self) -> None:
        """Start to drain, like a signal."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at the second."""
        if self.should_exit:
            self._second_signal = sig
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; called ten times a second."""
        should_stop = await super().on_tick(counter)
        self._reaper.sweep()
        if not should_stop:
            return False
        admission = self._service.admission
        if not admission.is_draining:
            log.info("shutting down", extra={"fields": {"running": admission.running}})
            admission.drain()
        is_forced = self._second_signal is not None
        if is_forced and admission.drain_deadline_passed_at is None:
            admission.abort_all()
        passed_at = admission.drain_deadline_passed_at
        flush_seconds = _FORCED_FLUSH_SECONDS if is_forced else _FLUSH_SECONDS
        if passed_at is not None and _seconds_since(passed_at) > flush_seconds:
            self._reaper.drop_all()
            return is_forced or admission.running == 0
        return admission.running == 0 or self._service.startup_error is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all sockets and connections; a second signal ends the process instead."""
        if self._second_signal is None:
            await super().shutdown(sockets)
            self.on_shutdown()
            return
        self._reaper.drop_all()
        await asyncio.sleep(0)  # closes them
        self.on_shutdown()
        # Neither the step that runs nor a bundle that loads is waited for.
        signal.signal(self._second_signal, signal.SIG_DFL)
        signal.raise_signal(self._second_signal)


def _seconds_since(moment: float) -> float:
    return asyncio.get_running_loop().time() - moment


def serve(
    settings: ServerSettings,
    load: Callable[..., Bark],
    *,
    host: str,
    port: int,
    unix_socket: Path | None = None,
    log_level: str = "info",
    make_service: Callable[[ServerSettings, Callable[..., Bark]], SpeechService] = SpeechService,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: Settings of the server.
        load: Function that returns the bundle; called in a worker thread.
        host: Address or name to listen on.
        port: TCP port; 0 selects a free one.
        unix_socket: Path of a socket to listen on, instead of the two above.
        log_level: Lowest level that is logged: debug, info, warning or error.
        make_service: Function that makes the service of `settings` and `load`.

    Raises:
        ServerError: The address is not available.
        OptionsError: The file of API keys cannot be read, or a key in it is invalid.
        BarkError: The bundle cannot be loaded.
    """
    configure_logs(log_level)
    log_warnings()
    raise_file_limit()
    limit = limit_by_files(settings.max_connections)
    settings = dataclasses.replace(settings, max_connections=limit)

    service = make_service(settings, load)
    is_proxied = unix_socket is not None
    server = make_server(service, host="localhost" if is_proxied else host, trusts_proxy=is_proxied)
    opened = (
        open_socket(host, port)
        if unix_socket is None
        else open_unix_socket(unix_socket, backlog=_BACKLOG)
    )
    # Also signals that come before uvicorn expects them have to remove a socket file.
    with delayed_interrupts(server.stop), ExitStack() as stack:
        listener = stack.enter_context(opened)
        server.on_shutdown = stack.close
        log.info("listening", extra={"fields": {"url": _url(listener)}})
        server.run(sockets=[listener])
    if service.startup_error is not None:
        raise service.startup_error


def _url(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    address, port = name[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def make_server(
    service: SpeechService, *, host: str = "127.0.0.1", trusts_proxy: bool = False
) -> DrainingServer:
    """Create a server that stops if the bundle cannot be loaded.

    Args:
        service: Bundle and settings.
        host: Name or address that the server listens on, which requests name as Host.
        trusts_proxy: Whether every connection is one of a proxy, whose X-Forwarded-For has the
            address of the client; otherwise only connections from 127.0.0.1 are.
    """
    settings = service.settings
    reaper = ConnectionReaper(
        client_seconds=settings.client_seconds,
        request_seconds=settings.request_seconds,
        limit=settings.max_connections,
        clock=time.monotonic,
    )
    config = uvicorn.Config(
        create_app(service, host=host),
        loop="asyncio",  # which accepts connections through the listener
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http=partial(Connection, reaper=reaper),  # type: ignore[arg-type]
        ws="none",
        forwarded_allow_ips="*" if trusts_proxy else None,
        timeout_graceful_shutdown=_FLUSH_SECONDS,
    )
    server = DrainingServer(config, service, reaper)
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
