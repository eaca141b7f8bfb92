"""bark-onnx serve. Imports the packages of the extras [serve] and [ray] only when it runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.command_line import Command, GroupedCommand
from bark_onnx.graphs.errors import OptionsError, ServerError
from bark_onnx.graphs.installation import install_command
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.cli.options.serving import serve_options
from bark_onnx.runtime.server.settings import ServerSettings

_COMMAND_LINE = click.core.ParameterSource.COMMANDLINE
_MODEL = ("provider", "precision", "threads", "low_memory", "max_batch_size", "max_queue")
_CLUSTER = ("uses_ray", "ray_address", "replicas", "max_replicas")


@click.command(
    cls=GroupedCommand, context_settings={"show_default": True, "max_content_width": 100}
)
@serve_options
def serve(
    bundle: str,
    host: str,
    port: int,
    unix_socket: Path | None,
    log_level: str,
    model_id: str | None,
    aliases: Path | None,
    cors_origins: tuple[str, ...],
    **others: Any,
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
    model, cluster = _take(others, _MODEL), _take(others, _CLUSTER)
    settings = ServerSettings(
        model_id=model_id or _name_of(bundle),
        aliases=read_aliases(aliases) if aliases else None,
        cors_origins=tuple(cors_origins),
        **others,
    )
    where = {"host": host, "port": port, "unix_socket": unix_socket, "log_level": log_level}
    if cluster.pop("uses_ray"):
        load, where["make_service"] = _import_cluster(bundle, model, cluster, settings)
    else:
        _check_unused(cluster)
        load = partial(Bark.load, bundle, **model)
    run(settings, load, **where)


def _take(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values.pop(name) for name in names}


def _check_unused(cluster: dict[str, Any]) -> None:
    for name, value in cluster.items():
        if value is not None:
            raise OptionsError(f"--{name.replace('_', '-')} needs --ray; give both, or neither")


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


def _import_cluster(
    bundle: str, model: dict[str, Any], cluster: dict[str, Any], settings: ServerSettings
) -> tuple[Callable[..., Bark], Callable[..., Any]]:
    """How the speakers are started, and the service of an ingress."""
    try:
        from bark_onnx.runtime.cluster.service import ClusterService
        from bark_onnx.runtime.cluster.settings import SpeakerSettings
        from bark_onnx.runtime.cluster.start import check_address, start_cluster
    except ModuleNotFoundError as error:
        raise ServerError(
            f"The package {error.name} is missing; install Ray with: "
            f"{install_command('cpu,serve,ray')}"
        ) from error
    address, threads = cluster["ray_address"], model.pop("threads")
    if address is not None:
        check_address(address)
    speakers = SpeakerSettings(
        bundle=bundle,
        replicas=cluster["replicas"] or 1,
        max_replicas=cluster["max_replicas"],
        warms_up=settings.warms_up,
        shutdown_seconds=settings.shutdown_seconds,
        **model,
    )
    return partial(start_cluster, speakers, address=address, threads=threads), ClusterService
