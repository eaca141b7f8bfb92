"""transformers, OpenVINO and every precision of bark-onnx on the same utterances, stage by stage.

Every engine runs in a process of its own, one after the other: it is loaded and warmed up, then
says each utterance some times, greedily, with as many semantic tokens as an utterance of that
length has. Prints a table; the last line is one JSON object.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click
from engines import CHECKS, ENGINES, Provider, open_engine, prepare
from machine import describe_machine, device_megabytes, peak_megabytes
from meter import Generate, Measured
from models import size_option

from bark_onnx.graphs.contract import STAGES

_CAUSAL = ("semantic", "coarse")
_SEMANTIC_RATE_HZ = 49.9


@dataclass(frozen=True)
class Run:
    """One engine on one utterance: medians over its repeats."""

    engine: str
    audio_seconds: float
    voice: bool
    repeats: int
    seconds: dict[str, float]  # by stage
    total_seconds: float
    real_time_factor: float
    prompt_seconds: dict[str, float]  # of semantic and coarse: running several tokens at once
    decode_seconds: dict[str, float]  # likewise: the rest, sampling included
    prompt_tokens_per_second: dict[str, float]
    decode_tokens_per_second: dict[str, float]
    peak_mb: float  # of the process so far, loading included
    device_mb: float | None  # of the GPU, everything that runs there included; None: none is used


@click.command()
@size_option
@click.option(
    "--engine",
    "engines",
    type=click.Choice(list(dict.fromkeys((*ENGINES["cpu"], *ENGINES["cuda"], *CHECKS)))),
    multiple=True,
    help="Default: all that the provider runs.",
)
@click.option("--provider", type=click.Choice(list(ENGINES)), default="cpu", show_default=True)
@click.option("--seconds", type=float, multiple=True, default=(2.0, 7.0, 13.0), show_default=True)
@click.option("--voice/--no-voice", default=None, help="Default: both.")
@click.option("--repeats", type=int, default=3, show_default=True)
@click.option(
    "--enough",
    type=click.FloatRange(min=0, min_open=True),
    default=40.0,
    show_default=True,
    help="Repeat an utterance no more once it has taken so many seconds.",
)
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Also write the JSON here.")
@click.option("--worker", hidden=True, is_flag=True)
def main(
    size: str,
    engines: tuple[str, ...],
    provider: Provider,
    seconds: tuple[float, ...],
    voice: bool | None,
    repeats: int,
    enough: float,
    threads: int,
    output: Path | None,
    worker: bool,
) -> None:
    """Compare engines on utterances of some lengths, with and without a voice."""
    voices = (False, True) if voice is None else (voice,)
    if worker:
        (engine,) = engines
        generate = open_engine(engine, size, threads, provider)
        for run in _measure(engine, generate, seconds, voices, (repeats, enough), provider):
            click.echo(json.dumps(asdict(run)))
        return
    engines = engines or ENGINES[provider]
    known = (*ENGINES[provider], *CHECKS) if provider == "cpu" else ENGINES[provider]
    if foreign := [engine for engine in engines if engine not in known]:
        raise click.UsageError(f"{foreign[0]} does not run on {provider}; expected {known}")
    for engine in engines:
        prepare(engine, size)
    runs: list[Run] = []
    for engine in engines:
        arguments = ["--size", size, "--repeats", str(repeats), "--threads", str(threads)]
        arguments += ["--provider", provider, "--enough", str(enough)]
        arguments += [f"--seconds={length}" for length in seconds]
        if voice is not None:
            arguments.append("--voice" if voice else "--no-voice")
        for run in _run_worker(engine, arguments):
            _print(run, next((other for other in runs if _same(other, run)), run))
            runs.append(run)
    result = {"machine": describe_machine(), "size": size, "threads": threads, "repeats": repeats}
    result["provider"] = provider
    text = json.dumps({**result, "runs": [asdict(run) for run in runs]})
    if output is not None:
        output.write_text(text + "\n")
    click.echo(text)


def _run_worker(engine: str, arguments: list[str]) -> Iterable[Run]:
    """The runs of an engine in a process of its own, as they end."""
    command = [sys.executable, __file__, "--worker", "--engine", engine, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Run(**json.loads(line))
    if process.returncode:
        raise click.ClickException(f"{engine} ended with status {process.returncode}")


def _same(first: Run, other: Run) -> bool:
    return (first.audio_seconds, first.voice) == (other.audio_seconds, other.voice)


def _print(run: Run, first: Run) -> None:
    causal = "  ".join(
        f"{stage} {run.prompt_seconds[stage]:6.2f} + {run.decode_seconds[stage]:6.2f} s "
        f"({run.prompt_tokens_per_second[stage]:5.0f}, "
        f"{run.decode_tokens_per_second[stage]:4.0f} tokens/s)"
        for stage in _CAUSAL
    )
    click.echo(
        f"{run.engine:<17} {run.audio_seconds:4.0f} s {'voice' if run.voice else '     '}  "
        f"{causal}  fine {run.seconds['fine']:6.2f} s  codec {run.seconds['codec']:5.2f} s  "
        f"total {run.total_seconds:7.2f} s  RTF {run.real_time_factor:5.2f}  "
        f"{first.total_seconds / run.total_seconds:5.2f} x  {run.peak_mb:5.0f} MB"
    )


def _measure(
    engine: str,
    generate: Generate,
    seconds: tuple[float, ...],
    voices: tuple[bool, ...],
    limits: tuple[int, float],
    provider: Provider,
) -> Iterable[Run]:
    generate(20, False)  # warm up
    for voice in voices:
        for length in seconds:
            tokens = round(length * _SEMANTIC_RATE_HZ)
            measured = _repeat(partial(generate, tokens, voice), *limits)
            yield _summarise(engine, length, voice, measured, provider)


def _repeat(generate: Callable[[], Measured], repeats: int, enough: float) -> list[Measured]:
    measured: list[Measured] = []
    while len(measured) < repeats and sum(_total(each) for each in measured) < enough:
        measured.append(generate())
    return measured


def _total(measured: Measured) -> float:
    return sum(measured.seconds.values())


def _summarise(
    engine: str, length: float, voice: bool, measured: list[Measured], provider: Provider
) -> Run:
    medians = {
        stage: statistics.median(each.seconds[stage] for each in measured) for stage in STAGES
    }
    prompts = {
        stage: statistics.median(each.prefill_seconds[stage] for each in measured)
        for stage in _CAUSAL
    }
    decode = {stage: medians[stage] - prompts[stage] for stage in _CAUSAL}
    counts = measured[0]  # the same tokens in every repeat
    total = sum(medians.values())
    return Run(
        engine=engine,
        audio_seconds=length,
        voice=voice,
        repeats=len(measured),
        seconds=medians,
        total_seconds=total,
        real_time_factor=total / length,
        prompt_seconds=prompts,
        decode_seconds=decode,
        prompt_tokens_per_second={
            stage: counts.prefill_tokens[stage] / prompts[stage] for stage in _CAUSAL
        },
        decode_tokens_per_second={
            stage: counts.decode_tokens[stage] / decode[stage] for stage in _CAUSAL
        },
        peak_mb=peak_megabytes(),
        device_mb=device_megabytes() if provider == "cuda" else None,
    )


if __name__ == "__main__":
    main()
