"""Options of bark-onnx serve."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.command_line import Command, add_options, grouped_option
from bark_onnx.graphs.precisions import PRECISIONS
from bark_onnx.runtime.cli.options.common import LOW_MEMORY_HELP, Integers, Numbers
from bark_onnx.runtime.inference.providers.selection import PROVIDERS
from bark_onnx.runtime.server.settings import ServerSettings

_DEFAULTS = ServerSettings(model_id="")
_COUNT, _PORT = Integers(1), Integers(0, 65535)
_SHARE = Numbers(0, 1, min_open=True)
_SILENCE, _DURATION = Numbers(0, 10), Numbers(0, min_open=True)
_PROVIDER, _LEVEL = click.Choice(PROVIDERS), click.Choice(("debug", "info", "warning", "error"))
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_SOCKET = click.Path(path_type=Path)

_PROVIDER_HELP = "Where the graphs run; auto: CUDA if it starts."
_PRECISION_HELP = f"Precision of the graphs: {', '.join(PRECISIONS)}; default: the fastest."
_THREADS_HELP = "CPU threads; more than cores are far slower; default: one per physical core."
_UPLOADS_HELP = "Folder for uploaded voices, created if missing; default: none."

_MODEL, _NETWORK, _VOICES = "Model and hardware", "Network", "Voices"
_TEXT, _LIMITS, _LOGS, _CLUSTER = "Long text", "Limits", "Logging", "Cluster"

Decorator = Callable[[Command], Command]


def _option(group: str, flag: str, *names: str, **attributes: Any) -> Decorator:
    """Create an option that can also be set by an environment variable of the same name."""
    variable = flag.split("/")[0].strip("-").upper().replace("-", "_")
    attributes = {"envvar": f"BARK_ONNX_SERVE_{variable}", "show_envvar": True, **attributes}
    return grouped_option(group)(flag, *names, **attributes)


def _setting(group: str, name: str, **attributes: Any) -> Decorator:
    """Create the option of a numeric field of `ServerSettings`."""
    flag = f"--{name.replace('_', '-')}"
    return _option(group, flag, default=getattr(_DEFAULTS, name), **attributes)


serve_options = add_options(
    grouped_option(_MODEL)(
        *("-m", "--model", "bundle"),
        required=True,
        envvar="BARK_ONNX_MODEL",
        show_envvar=True,
        metavar="BUNDLE",
        help="Folder or hub id of a bundle.",
    ),
    _option(_MODEL, "--model-id", help="Name in /v1/models; default: the bundle's."),
    _option(_MODEL, "--provider", type=_PROVIDER, default="auto", help=_PROVIDER_HELP),
    _option(_MODEL, "--precision", metavar="NAME", help=_PRECISION_HELP),
    _option(_MODEL, "--threads", type=_COUNT, help=_THREADS_HELP),
    _option(_MODEL, "--low-memory", is_flag=True, help=LOW_MEMORY_HELP),
    _option(
        *(_MODEL, "--max-batch-size"),
        type=_COUNT,
        default=8,
        help="Sequences decoded together, one for each segment.",
    ),
    _option(
        *(_MODEL, "--warm-up/--no-warm-up", "warms_up"),
        default=True,
        help="Run one warm-up request before /ready returns 200.",
    ),
    _option(_NETWORK, "--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0: all."),
    _option(_NETWORK, "--port", type=_PORT, default=8000, help="TCP port; 0: a free one."),
    _option(
        *(_NETWORK, "--unix-socket"),
        type=_SOCKET,
        help="Path of a Unix socket to listen on, instead of --host and --port.",
    ),
    _option(
        _NETWORK, "--api-key", help="Bearer token required from clients; prefer --api-key-file."
    ),
    _option(
        *(_NETWORK, "--api-key-file"),
        type=_FILE,
        help="File with one API key per line, each of which is accepted; read again when it "
        "changes.",
    ),
    _option(
        *(_NETWORK, "--cors-origin", "cors_origins"),
        multiple=True,
        help="Allowed CORS origin; repeatable.",
    ),
    _option(
        *(_NETWORK, "--allowed-host", "allowed_hosts"),
        multiple=True,
        help="Further name of this server in requests, as behind a proxy; *: any; repeatable.",
    ),
    _option(
        *(_VOICES, "--voices", "aliases"),
        type=_FILE,
        help='JSON file of other names for voices: {"alloy": "v2/en_speaker_6", "any": null}; '
        "null: the model chooses. Default: OpenAI's names.",
    ),
    _option(_VOICES, "--uploads", type=_FOLDER, help=_UPLOADS_HELP),
    _setting(_VOICES, "max_uploads_bytes", type=_COUNT, help="Size of all uploaded voices."),
    _setting(_TEXT, "concurrency", type=_COUNT, help="Segments of one text generated in parallel."),
    _setting(_TEXT, "silence_seconds", type=_SILENCE, help="Silence between segments."),
    _option(_LIMITS, "--max-queue", type=_COUNT, default=64, help="Waiting segments; then: 429."),
    _setting(
        *(_LIMITS, "client_share"),
        type=_SHARE,
        help="Part of the queue that one client may hold, an API key or else an address; 1: all.",
    ),
    _setting(_LIMITS, "max_text_characters", type=_COUNT, help="Length of a request's text."),
    _setting(_LIMITS, "max_body_bytes", type=_COUNT, help="Size of a request, uploads included."),
    _setting(
        *(_LIMITS, "max_connections"),
        type=_COUNT,
        help="Connections; beyond, unfinished and idle ones are dropped.",
    ),
    _setting(_LIMITS, "request_seconds", type=_DURATION, help="Time until a request's last byte."),
    _setting(
        *(_LIMITS, "client_seconds"),
        type=_DURATION,
        help="Time for a client to send a request, or to continue reading a response.",
    ),
    _setting(
        *(_LIMITS, "shutdown_seconds"),
        type=_DURATION,
        help="Time for running requests to finish after a signal.",
    ),
    _option(
        *(_CLUSTER, "--ray", "uses_ray"),
        is_flag=True,
        help="Generate speech in processes of Ray; needs the extra [ray].",
    ),
    _option(
        *(_CLUSTER, "--ray-address"),
        metavar="ADDRESS",
        help="HOST:PORT of a running cluster to which this machine belongs, or auto; default: Ray "
        "is started on this machine, and ends with the server.",
    ),
    _option(
        *(_CLUSTER, "--replicas"),
        type=_COUNT,
        help="Speaker replicas, each with a model of its own; default: 1.",
    ),
    _option(
        *(_CLUSTER, "--max-replicas"),
        type=_COUNT,
        help="Most replicas; beyond --replicas, they start under load and end after it.",
    ),
    _option(_LOGS, "--log-texts", "logs_texts", is_flag=True, help="Log the texts of requests."),
    _option(_LOGS, "--log-level", type=_LEVEL, default="info", help="Lowest level to log."),
)
