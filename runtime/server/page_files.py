"""Files of the web page, held in memory: a crowd of requests opens no files."""

from functools import cache
from importlib.resources import files

from fastapi import Response
from starlette.exceptions import HTTPException

INDEX = "index.html"

_FOLDER = files("bark_onnx.runtime.server") / "page"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'self'; media-src blob:; img-src 'self' data:; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'",
}


@cache
def read_page() -> dict[str, tuple[bytes, str]]:
    """Contents and media type of every file, by name."""
    return {
        file.name: (file.read_bytes(), media_type)
        for file in _FOLDER.iterdir()
        for ending, media_type in _MEDIA_TYPES.items()
        if file.name.endswith(ending)
    }


def page_response(name: str) -> Response:
    """Response with one file.

    Raises:
        HTTPException: The page has no such file.
    """
    if name not in read_page():
        raise HTTPException(404)
    content, media_type = read_page()[name]
    return Response(content, headers=_HEADERS, media_type=media_type)
