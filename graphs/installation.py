"""How this package was installed, for messages that say how to install more of it."""

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from urllib.parse import unquote, urlsplit

_NAME = "bark-onnx"


def install_command(extras: str) -> str:
    """The pip command that installs this package, as it is installed, with more extras.

    Args:
        extras: Names of extras, separated by commas.
    """
    origin = _origin()
    path = urlsplit(origin.get("url", ""))
    if path.scheme == "file":
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return f"pip install {editable}{shlex.quote(f'{unquote(path.path)}[{extras}]')}"
    vcs = origin.get("vcs_info", {}).get("vcs")
    source = f" @ {vcs}+{origin['url']}" if vcs else ""
    return f"pip install {shlex.quote(f'{_NAME}[{extras}]{source}')}"


def _origin() -> dict[str, Any]:
    """Contents of direct_url.json (PEP 610), which pip writes unless an index was the source."""
    try:
        text = distribution(_NAME).read_text("direct_url.json")
    except PackageNotFoundError:  # run from a folder of sources
        return {}
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}
