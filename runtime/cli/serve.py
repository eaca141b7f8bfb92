"""bark-onnx serve: the command. Imports the server's packages only when it runs."""

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
    """An option that an environment variable of the same name sets, too."""
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
@_option("--host", default="127.0.0.1", help="Address to listen at; 0.0.0.0 is all.")
@_option("--port", type=click.IntRange(0, 65535), default=8000, help="0: a free one.")
@_option("--model-id", help="Name of the model in /v1/models; default: the bundle's.")
@_option("--api-key", help="What clients must send as bearer token; better set the variable.")
@_option("--cors-origin", "cors_origins", multiple=True, help="A site whose pages may call.")
@_option(
    "--voices",
    "aliases",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help='JSON file of names for voices: {"alloy": "v2/en_speaker_6", "any": null}; '
    "null lets the model choose. Default: OpenAI's names.",
)
@_option(
    "--uploads",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for voices that clients upload; without it they cannot.",
)
@_option("--max-batch-size", type=click.IntRange(1), default=8, help="Sequences in a decode step.")
@_option(
    "--max-queue", type=click.IntRange(1), default=64, help="Pieces that wait; more get a 429."
)
@_option(
    "--pieces-at-once",
    type=click.IntRange(1),
    default=_DEFAULTS.pieces_at_once,
    help="Pieces of one text in the engine.",
)
@_option(
    "--max-text-characters",
    type=click.IntRange(1),
    default=_DEFAULTS.max_text_characters,
    help="Longest text of a request.",
)
@_option(
    "--max-body-bytes",
    type=click.IntRange(1),
    default=_DEFAULTS.max_body_bytes,
    help="Largest body of a request, uploads included.",
)
@_option(
    "--request-seconds",
    type=click.FloatRange(0, min_open=True),
    default=_DEFAULTS.request_seconds,
    help="Longest time for a request.",
)
@_option(
    "--client-seconds",
    type=click.FloatRange(0, min_open=True),
    default=_DEFAULTS.client_seconds,
    help="Longest wait for a client to send a request, or to go on reading an answer.",
)
@_option(
    "--max-connections",
    type=click.IntRange(1),
    default=_DEFAULTS.max_connections,
    help="Connections at once; beyond, idle ones are dropped and requests get a 429.",
)
@_option(
    "--shutdown-seconds",
    type=click.FloatRange(0, min_open=True),
    default=_DEFAULTS.shutdown_seconds,
    help="After a signal, what runs may take this long.",
)
@_option(
    "--silence-seconds",
    type=click.FloatRange(0, 10),
    default=_DEFAULTS.silence_seconds,
    help="Between the pieces of a long text.",
)
@_option("--provider", type=click.Choice(PROVIDERS), default="auto", help="Where it runs.")
@_option("--precision", help="A precision of the bundle; default: the fastest.")
@_option("--threads", type=click.IntRange(1), help="CPU threads; default: one per core.")
@_option("--low-memory", is_flag=True, help="Keep one stage loaded at a time.")
@_option(
    "--warm-up/--no-warm-up", "warms_up", default=True, help="Say something before being ready."
)
@_option("--log-texts", "logs_texts", is_flag=True, help="Log the texts of requests.")
@_option(
    "--log-level", type=click.Choice(_LOG_LEVELS), default="info", help="The least that is logged."
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
    """Serve a bundle by OpenAI's speech API, with a page to try it at /.

    \b
    Example:
      bark-onnx serve -m bark-small-onnx
      curl localhost:8000/v1/audio/speech -H 'content-type: application/json' \\
        -d '{"input": "Hello!", "voice": "alloy"}' -o hello.mp3
    """
    run = _import_server()
    from bark_onnx.runtime.server.voices import read_aliases

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
