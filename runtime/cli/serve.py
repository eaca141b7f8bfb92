"""bark-onnx serve. Imports the packages of the extra [serve] only when it runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.errors import ServerError
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.cli.options.groups import (
    Command,
    GroupedCommand,
    add_options,
    grouped_option,
)
from bark_onnx.runtime.inference.sessions import PROVIDERS
from bark_onnx.runtime.server.settings import ServerSettings

_DEFAULTS = ServerSettings(model_id="")
_LOG_LEVELS = ("debug", "info", "warning", "error")
_COUNT = click.IntRange(1)
_DURATION = click.FloatRange(0, min_open=True)


def _option(group: str, flag: str, *names: str, **attributes: Any) -> Callable[[Command], Command]:
    """Create an option that can also be set by an environment variable of the same name."""
    variable = flag.split("/")[0].strip("-").upper().replace("-", "_")
    return grouped_option(group)(
        flag, *names, envvar=f"BARK_ONNX_SERVE_{variable}", show_envvar=True, **attributes
    )


_model_option = partial(_option, "Model and hardware")
_network_option = partial(_option, "Network")
_text_option = partial(_option, "Long text")
_voice_option = partial(_option, "Voices")
_limit_option = partial(_option, "Limits")
_log_option = partial(_option, "Logging")

_OPTIONS = add_options(
    grouped_option("Model and hardware")(
        "-m",
        "--model",
        "bundle",
        required=True,
        envvar="BARK_ONNX_MODEL",
        show_envvar=True,
        metavar="BUNDLE",
        help="Folder or hub id of a bundle.",
    ),
    _model_option("--model-id", help="Name in /v1/models; default: the bundle's."),
    _model_option(
        "--provider", type=click.Choice(PROVIDERS), default="auto", help="Where the graphs run."
    ),
    _model_option("--precision", help="Precision of the graphs; default: the fastest."),
    _model_option("--threads", type=_COUNT, help="CPU threads; default: one per core."),
    _model_option("--low-memory", is_flag=True, help="Load only the stage that runs."),
    _model_option(
        "--max-batch-size", type=_COUNT, default=8, help="Sequences decoded together, at most."
    ),
    _model_option(
        "--warm-up/--no-warm-up",
        "warms_up",
        default=True,
        help="Run one warm-up request before /ready returns 200.",
    ),
    _network_option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0: all."),
    _network_option(
        "--port", type=click.IntRange(0, 65535), default=8000, help="TCP port; 0: a free one."
    ),
    _network_option("--api-key", help="Bearer token required from clients; prefer the variable."),
    _network_option(
        "--cors-origin", "cors_origins", multiple=True, help="Allowed CORS origin; repeatable."
    ),
    _voice_option(
        "--voices",
        "aliases",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help='JSON file of other names for voices: {"alloy": "v2/en_speaker_6", "any": null}; '
        "null: the model chooses. Default: OpenAI's names.",
    ),
    _voice_option(
        "--uploads",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for uploaded voices; default: uploads are off.",
    ),
    _text_option(
        "--concurrency",
        type=_COUNT,
        default=_DEFAULTS.concurrency,
        help="Segments of one text generated in parallel.",
    ),
    _text_option(
        "--silence-seconds",
        type=click.FloatRange(0, 10),
        default=_DEFAULTS.silence_seconds,
        help="Default silence between segments.",
    ),
    _limit_option(
        "--max-queue", type=_COUNT, default=64, help="Waiting segments; beyond, requests get a 429."
    ),
    _limit_option(
        "--max-text-characters",
        type=_COUNT,
        default=_DEFAULTS.max_text_characters,
        help="Length of a request's text.",
    ),
    _limit_option(
        "--max-body-bytes",
        type=_COUNT,
        default=_DEFAULTS.max_body_bytes,
        help="Size of a request's body, uploads included.",
    ),
    _limit_option(
        "--max-connections",
        type=_COUNT,
        default=_DEFAULTS.max_connections,
        help="Connections; beyond, idle ones are dropped and requests get a 429.",
    ),
    _limit_option(
        "--request-seconds",
        type=_DURATION,
        default=_DEFAULTS.request_seconds,
        help="Time from a request's arrival to its last byte.",
    ),
    _limit_option(
        "--client-seconds",
        type=_DURATION,
        default=_DEFAULTS.client_seconds,
        help="Time for a client to send a request, or to continue reading a response.",
    ),
    _limit_option(
        "--shutdown-seconds",
        type=_DURATION,
        default=_DEFAULTS.shutdown_seconds,
        help="Time for running requests to finish after a signal.",
    ),
    _log_option("--log-texts", "logs_texts", is_flag=True, help="Log the texts of requests."),
    _log_option(
        "--log-level", type=click.Choice(_LOG_LEVELS), default="info", help="Lowest logged level."
    ),
)


@click.command(
    cls=GroupedCommand, context_settings={"show_default": True, "max_content_width": 100}
)
@_OPTIONS
def serve(
    bundle: str,
    host: str,
    port: int,
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
            "pip install 'bark-onnx[cpu,serve]'"
        ) from error
    return run
