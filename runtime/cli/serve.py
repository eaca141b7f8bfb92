"""bark-onnx serve. Imports the packages of the extra [serve] only when it runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.command_line import (
    Command,
    GroupedCommand,
    add_options,
    grouped_option,
)
from bark_onnx.graphs.errors import ServerError
from bark_onnx.graphs.installation import install_command
from bark_onnx.graphs.precisions import PRECISIONS
from bark_onnx.runtime.bark import Bark
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
_TEXT, _LIMITS, _LOGS = "Long text", "Limits", "Logging"

_COMMAND_LINE = click.core.ParameterSource.COMMANDLINE

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


_OPTIONS = add_options(
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
    _option(_LOGS, "--log-texts", "logs_texts", is_flag=True, help="Log the texts of requests."),
    _option(_LOGS, "--log-level", type=_LEVEL, default="info", help="Lowest level to log."),
)


@click.command(
    cls=GroupedCommand, context_settings={"show_default": True, "max_content_width": 100}
)
@_OPTIONS
def serve(
    bundle: str,
    host: str,
    port: int,
    unix_socket: Path | None,
    log_level: str,
    provider: str,
    precision: str | None,
    threads: int | None,
    low_memory: bool,
    max_batch_size: int,
    max_queue: int,
    model_id: str | None,
    aliases: Path | None,
    cors_origins: tuple[str, ...],
    **settings: Any,
) -> None:
    """Serve a bundle behind OpenAI's speech API, with a web page at /.

    \b
    Example:
      bark-onnx serve -m bark-small-onnx
      curl localhost:8000/v1/audio/speech -H 'content-type: application/json' \\
        -d '{"input": "Hello!", "voice": "alloy"}' -o hello.mp3
    """
    run = _import_server()
    from bark_onnx.runtime.server.aliases import read_aliases
    from bark_onnx.runtime.server.logs import configure_logs, log

    if click.get_current_context().get_parameter_source("api_key") is _COMMAND_LINE:
        configure_logs(log_level)
        fields = {"option": "--api-key", "expected": "--api-key-file, as other users see arguments"}
        log.warning("insecure option", extra={"fields": fields})
    load = partial(
        Bark.load,
        bundle,
        provider=provider,
        precision=precision,
        threads=threads,
        low_memory=low_memory,
        max_batch_size=max_batch_size,
        max_queue=max_queue,
    )
    run(
        ServerSettings(
            model_id=model_id or _name_of(bundle),
            aliases=read_aliases(aliases) if aliases else None,
            cors_origins=tuple(cors_origins),
            **settings,
        ),
        load,
        host=host,
        port=port,
        unix_socket=unix_socket,
        log_level=log_level,
    )


def _name_of(bundle: str) -> str:
    folder = Path(bundle)
    return folder.resolve().name if folder.exists() else bundle


def _import_server() -> Command:
    try:
        from bark_onnx.runtime.server.server import serve as run
    except ModuleNotFoundError as error:
        raise ServerError(
            f"The package {error.name} is missing; install the server with: "
            f"{install_command('cpu,serve')}"
        ) from error
    return run
