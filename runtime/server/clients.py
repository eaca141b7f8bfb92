"""Clients of the server: who sends a request, and threads in which clients take turns."""

import asyncio
import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from starlette.types import Scope

from bark_onnx.runtime.engine.clients import Client

CLIENT = "bark_onnx.client"  # key of the `Client` in a request's scope

_IPV6_PREFIX = 64  # bits of the network that one client has to itself
_THREADS = 2  # so that one long text does not hold up all others

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def client_of(scope: Scope) -> Client:
    """The client of a request, once access was checked."""
    found: Client = scope[CLIENT]
    return found


def address_of(scope: Scope) -> str:
    """Address that stands for the client of a request without a key.

    An IPv6 address stands for its network of 64 bits, all of which one client has to itself. On a
    Unix socket clients have no address, unless a proxy names it in X-Forwarded-For.
    """
    address = scope.get("client")
    if not address or not address[0]:
        return "local"
    try:
        found = ipaddress.ip_address(address[0].partition("%")[0])
    except ValueError:
        return f"address {address[0][:64]}"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return f"address {ipaddress.ip_network((found, _IPV6_PREFIX), strict=False)}"
        found = found.ipv4_mapped
    return f"address {found}"


class ClientThreads:
    """Threads for the work of requests: one call at a time for each client, in turn."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "bark-onnx requests")
        self._locks: WeakValueDictionary[Client, asyncio.Lock] = WeakValueDictionary()

    async def run(
        self,
        client: Client,
        function: Callable[Parameters, Result],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Call a function in a thread, after what the client asked for before.

        A cancelled call keeps the client's turn until the thread is done.
        """
        lock = self._locks.setdefault(client, asyncio.Lock())
        await lock.acquire()
        try:
            started = self._threads.submit(copy_context().run, partial(function, *args, **kwargs))
        except BaseException:
            lock.release()
            raise
        future = asyncio.wrap_future(started)
        future.add_done_callback(lambda _: lock.release())
        future.add_done_callback(_retrieve)
        return await asyncio.shield(future)

    def close(self) -> None:
        """End the threads, without waiting for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _retrieve(future: asyncio.Future[Result]) -> None:
    """Keep asyncio from logging the error of a call that nothing awaits any longer."""
    if not future.cancelled():
        future.exception()
