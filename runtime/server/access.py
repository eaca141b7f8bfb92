"""Which Host and Origin headers a request may have: the defense against pages of other sites.

A page whose name is pointed to this server's address (DNS rebinding) has its own name as Host. A
page of another site or port has its own address as Origin.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable

from starlette.datastructures import Headers

from bark_onnx.runtime.server.errors import ApiError, quoted

ANY = "*"

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+)(?::\d*)?")
_ORIGIN = re.compile(r"https?://(.+)")
_OTHER_SITES = ("cross-site", "same-site")  # values of Sec-Fetch-Site; a site has many origins


class HostRule:
    """Accepts the names of this server in the header Host.

    localhost and loopback addresses are always accepted. A server that listens on another address
    accepts every address: only names can be pointed elsewhere.

    Args:
        host: Name or address that the server listens on.
        allowed: Further names; "*" accepts everything.
    """

    def __init__(self, host: str, allowed: Iterable[str]) -> None:
        bound = _address(host)
        self._names = {"localhost", host.lower(), *(name.lower() for name in allowed)}
        self._accepts_addresses = host != "localhost" and not (bound and bound.is_loopback)

    def check(self, headers: Headers) -> None:
        """Check the header; only a client of HTTP/1.0, which is not a browser, may omit it.

        Raises:
            ApiError: The header has another name.
        """
        host = headers.get("host")
        if host is not None and ANY not in self._names and not self._accepts(host):
            raise ApiError(
                421,
                f"Host {quoted(host)} is not this server's; expected localhost, its --host, "
                "or an --allowed-host",
                code="host_not_allowed",
            )

    def _accepts(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].lower().strip("[]").removesuffix(".")
        address = _address(name)
        if address is not None and (self._accepts_addresses or address.is_loopback):
            return True
        return name in self._names


def check_origin(headers: Headers, allowed: Collection[str]) -> None:
    """Check that a request is not made by a page of another origin.

    Args:
        headers: The request's headers.
        allowed: Origins of pages that may call the server; "*" allows all.

    Raises:
        ApiError: The origin is neither the server's own nor allowed.
    """
    origin = headers.get("origin")
    if ANY in allowed or (origin is not None and origin in allowed):
        return
    # Browsers send forms across sites without a preflight request. Clients other than browsers
    # send neither header.
    is_foreign = origin is not None and not _is_own(origin, headers.get("host", ""))
    if is_foreign or headers.get("sec-fetch-site", "").lower() in _OTHER_SITES:
        what = f"Origin {quoted(origin)}" if origin is not None else "Another site"
        raise ApiError(
            403,
            f"{what} is not allowed; expected the server's own (a proxy must pass the header "
            "Host), or a --cors-origin",
            code="origin_not_allowed",
        )


def _is_own(origin: str, host: str) -> bool:
    # The scheme is not compared: behind a proxy that terminates TLS, it is https.
    found = _ORIGIN.fullmatch(origin.lower())
    return found is not None and found[1] == host.lower()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
