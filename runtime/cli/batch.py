"""bark-onnx batch: generates the rows of a file, each to a sound file, on one machine or many."""

import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.command_line import GroupedCommand, add_options, grouped_option
from bark_onnx.graphs.errors import BatchError, OptionsError
from bark_onnx.graphs.installation import install_command
from bark_onnx.graphs.interrupts import raise_interrupts
from bark_onnx.runtime.audio.files.formats import FORMATS, check_format, check_rate
from bark_onnx.runtime.batch.folder import BatchFolder
from bark_onnx.runtime.batch.input_file import InputFile
from bark_onnx.runtime.batch.pool import LocalPool, Pool
from bark_onnx.runtime.batch.row import RowDefaults
from bark_onnx.runtime.batch.run import BatchResult, run_batch
from bark_onnx.runtime.batch.settings import BatchSettings
from bark_onnx.runtime.batch.speaker import SpeakerSettings
from bark_onnx.runtime.cli.batch_report import RowsBar, interrupted_message, show_summary
from bark_onnx.runtime.cli.options.common import Integers, bundle_option, flags_in_errors
from bark_onnx.runtime.cli.options.completion import complete_voice
from bark_onnx.runtime.cli.options.generation import build_generation_options, generation_options
from bark_onnx.runtime.cli.options.hardware import HARDWARE, hardware_options
from bark_onnx.runtime.cli.options.output import check_file_name
from bark_onnx.runtime.cli.options.stream import (
    build_stream_options,
    line_concurrency,
    stream_options,
)
from bark_onnx.runtime.seeds import resolve_seed

_DEFAULTS = RowDefaults()
_output_option, _voice_option = grouped_option("Output"), grouped_option("Voice")
_ray_option = grouped_option("Cluster")


@click.command(cls=GroupedCommand)
@click.argument("source", metavar="INPUT")
@bundle_option
@add_options(
    _output_option(
        *("-o", "--output"),
        required=True,
        type=click.Path(),
        metavar="FOLDER",
        help="Folder of the files and of the manifest: new, empty, or that of a run to go on with.",
    ),
    _output_option(
        *("--format", "audio_format"),
        type=click.Choice(list(FORMATS)),
        default="wav",
        show_default=True,
        help="Format of the files.",
    ),
    _output_option(
        *("--sample-rate", "sample_rate_hz"),
        type=int,
        metavar="HZ",
        help="Sample rate. Default: the model's, 24000.",
    ),
    _output_option(
        "--no-metadata", is_flag=True, help="Omit text, voice, seed and settings from files."
    ),
    _output_option(
        "--force", is_flag=True, help="Generate rows again that changed since an earlier run."
    ),
    _output_option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
    _voice_option(
        *("-v", "--voice"),
        shell_complete=complete_voice,
        help="Voice of rows without one: a name (v2/en_speaker_6), german, de-3, or me.npz.",
    ),
    _voice_option(
        *("-s", "--seed"),
        type=int,
        default=_DEFAULTS.seed,
        show_default=True,
        help="Seed from which, and its id, that of a row without one is derived.",
    ),
)
@stream_options
@generation_options
@hardware_options
@add_options(
    _ray_option(
        "--ray",
        metavar="ADDRESS",
        help="Generate the rows on a Ray cluster: auto, HOST:PORT, or local, which starts one.",
    ),
    _ray_option(
        "--workers",
        type=Integers(1),
        metavar="N",
        help="Processes on the cluster, each with --threads CPUs or a GPU. Default: all that fit.",
    ),
)
@flags_in_errors()
def batch(source: str, bundle: str, output: str, force: bool, as_json: bool, **values: Any) -> None:
    """Generate the rows of INPUT, each to a file of FOLDER, and a manifest of them.

    INPUT is .txt with a text per line, or .jsonl, .csv or .parquet with a column text and, if you
    like, id, voice, seed, and any option by its name, as in temperature. The same id gives the same
    file. After a failure or an interrupt, the same command goes on where it ended.

    \b
    Examples:
      bark-onnx batch prompts.csv -m bark-small-onnx -o prompts/
      bark-onnx batch book.jsonl -m bark-small-onnx -o book/ --format opus --voice v2/en_speaker_6
      bark-onnx batch prompts.parquet -m bark-small-onnx -o prompts/ --ray auto
    """
    raise_interrupts()
    # 1. What needs neither model nor cluster is checked first.
    check_file_name("--output", output, may_be_folder=True)
    _check_cluster(values)
    file = InputFile(Path(source))
    rate_hz = values["sample_rate_hz"] or Bundle(bundle).manifest.shapes.codec.sample_rate_hz
    check_rate(rate_hz)
    check_format(FORMATS[values["audio_format"]], rate_hz)
    settings = SpeakerSettings(
        bundle=bundle,
        audio_format=values["audio_format"],
        sample_rate_hz=rate_hz,
        metadata=not values["no_metadata"],
        generation=build_generation_options(values),
        stream=build_stream_options(values, has_lines=True),
        concurrency=line_concurrency(values),
    )
    defaults = RowDefaults(values["voice"], resolve_seed(values["seed"]))
    # 2. The model loads, or the cluster starts, while the rows are checked.
    started, result = time.perf_counter(), BatchResult()
    with closing(_open_pool(settings, values)) as pool, _open_folder(output, pool) as folder:
        bar = RowsBar()
        try:
            with closing(bar):
                run_batch(file, folder, defaults, pool, bar, result, replaces_changed=force)
        except KeyboardInterrupt as stop:
            if not result.rows:
                raise
            raise click.Abort(interrupted_message(folder, result)) from stop
    show_summary(folder, result, time.perf_counter() - started, as_json=as_json)
    if result.failed:
        sys.exit(1)


def _open_pool(settings: SpeakerSettings, values: Mapping[str, Any]) -> Pool:
    hardware = {name: values[name] for name in HARDWARE}
    if values["ray"] is None:
        return LocalPool(settings, **hardware)
    pool: Pool = _import_ray()(settings, values["ray"], workers=values["workers"], **hardware)
    return pool


def _check_cluster(values: Mapping[str, Any]) -> None:
    address = values["ray"]
    if address is None and values["workers"] is not None:
        raise OptionsError("--workers is for a cluster; expected --ray ADDRESS with it")
    if address is not None and "://" in address:
        raise OptionsError(
            f"--ray is {address!r}, expected HOST:PORT of a cluster to which this machine belongs, "
            "auto, or local"
        )


def _import_ray() -> Any:
    try:
        from bark_onnx.runtime.cluster.row_pool import RayPool
    except ModuleNotFoundError as error:
        raise BatchError(
            f"The package {error.name} is missing; install Ray with: {install_command('cpu,ray')}"
        ) from error
    return RayPool


def _open_folder(output: str, pool: Pool) -> BatchFolder:
    settings = BatchSettings.of(
        Bundle(pool.settings.bundle),
        pool.settings,
        precision=pool.precision,
        provider=pool.provider,
    )
    return BatchFolder(Path(output), settings)
