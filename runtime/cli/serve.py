"""bark-onnx serve. Imports the packages of the extra [serve] only when it runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.errors import ServerError
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.inference.sessions import PROVIDERS
from bark_onnx.runtime.server.settings import ServerSettings

_DEFAULTS = ServerSettings(model_id="")
Command = Callable[..., None]

_LOG_LEVELS = ("debug", "info", "warning", "error")


def _option(flag: str, *names: str, **attributes: Any) -> Callable[[Command], Command]:
    """Create an option that can also be set by an environment variable of the same name."""
    variable = flag.split("/")[0].strip("-").upper().replace("-", "_")
    return click.option(
        flag, *names, envvar=f"BARK_ONNX_SERVE_{variable}", show_envvar=True, **attributes
    )


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option(
    "-m",
    "--model",
    "bundle",
    required=True,
    envvar="BARK_ONNX_MODEL",
    show_envvar=True,
    metavar="BUNDLE",
    help="A bundle's folder or hub id.",
)
@_option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0: all.")
@_option("--port", type=click.IntRange(0, 65535), default=8000, help="TCP port; 0: a free one.")
@_option("--model-id", help="Name of the model in /v1/models; default: name of the bundle.")
@_option("--api-key", help="Bearer token required from clients; prefer the variable.")
@_option("--cors-origin", "cors_origins", multiple=True, help="Allowed CORS origin; repeatable.")
@_option(
    "--voices",
    "aliases",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help='JSON file of other names for voices: {"alloy": "v2/en_speaker_6", "any": null}; '
    "null: the model chooses. Default: OpenAI's names.",
)
@_option(
    "--uploads",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for uploaded voices; default: uploads are off.",
)
@_option(
    "--max-batch-size",
    type=click.IntRange(1),
    default=8,
    help="Maximum number of sequences decoded together.",
)
@_option(
    "--max-queue",
    type=click.IntRange(1),
    default=64,
    help="Maximum number of waiting segments; beyond it, requests get a 429.",
)
@_option(
    "--concurrency",
    type=click.IntRange(1),
    default=_DEFAULTS.concurrency,
    help="Segments of one text generated in parallel.",
)
@_option(
    "--max-text-characters",
    type=click.IntRange(1),
    default=_DEFAULTS.max_text_characters,
    help="Maximum length of a request's text.",
)
@_option(
    "--max-body-bytes",
    type=click.IntRange(1),
    default=_DEFAULTS.max_body_bytes,
    help="Maximum size of a request's body, uploads included.",
)
@_option(
    "--request-seconds",
    type=click.FloatRange(0, min_open=True),
    default=_DEFAULTS.request_seconds,
    help="Maximum time from a request's arrival to its last byte.",
)
@_option(
    "--client-seconds",
    type=click.FloatRange(0, min_open=True),
    default=_DEFAULTS.client_seconds,
    help="Maximum time for a client to send a request, or to continue reading a response.",
)
@_option(
    "--max-connections",
    type=click.IntRange(1),
    default=_DEFAULTS.max_connections,
    help="Maximum number of connections; beyond it, idle ones are dropped and requests get a 429.",
)
@_option(
    "--shutdown-seconds",
    type=click.FloatRange(0, min_open=True),
    default=_DEFAULTS.shutdown_seconds,
    help="Time for running requests to finish after a signal.",
)
@_option(
    "--silence-seconds",
    type=click.FloatRange(0, 10),
    default=_DEFAULTS.silence_seconds,
    help="Silence between the segments of a long text.",
)
@_option("--provider", type=click.Choice(PROVIDERS), default="auto", help="Execution provider.")
@_option("--precision", help="Precision of the bundle; default: the fastest for the provider.")
@_option("--threads", type=click.IntRange(1), help="CPU threads; default: one per physical core.")
@_option("--low-memory", is_flag=True, help="Keep only one stage in memory at a time.")
@_option(
    "--warm-up/--no-warm-up",
    "warms_up",
    default=True,
    help="Run a warm-up request before /ready returns 200.",
)
@_option("--log-texts", "logs_texts", is_flag=True, help="Log the texts of requests.")
@_option(
    "--log-level",
    type=click.Choice(_LOG_LEVELS),
    default="info",
    help="Lowest level that is logged.",
)
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
