"""transformers and every precision of bark-onnx on the same utterances, stage by stage.

Every engine runs in a process of its own, one after the other, and says the same number of tokens:
greedy, as many semantic tokens as an utterance of that length has. Prints a table; the last line is
one JSON object.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from machine import describe_machine, peak_megabytes
from models import bundle_folder, checkpoint_folder, size_option

STAGES = ("semantic", "coarse", "fine", "codec")
ENGINES = ("transformers fp32", "transformers bf16", "fp32", "int8", "int4")
_TEXT = "In the light of the moon, a little egg lay on a leaf"
_SEMANTIC_RATE_HZ = 49.9
_FIRST = "first token"  # of the semantic stage: its prompt


@dataclass(frozen=True)
class Run:
    """One engine on one utterance: medians over the repeats."""

    engine: str
    audio_seconds: float
    voice: bool
    seconds: dict[str, float]  # by stage
    total_seconds: float
    real_time_factor: float
    tokens_per_second: dict[str, float]  # semantic and coarse
    peak_mb: float  # of the process, loading included


@click.command()
@size_option
@click.option("--engine", "engines", type=click.Choice(ENGINES), multiple=True, default=ENGINES)
@click.option("--seconds", type=float, multiple=True, default=(2.0, 7.0, 13.0), show_default=True)
@click.option("--voice/--no-voice", default=None, help="Default: both.")
@click.option("--repeats", type=int, default=3, show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Also write the JSON here.")
@click.option("--worker", hidden=True, is_flag=True)
def main(
    size: str,
    engines: tuple[str, ...],
    seconds: tuple[float, ...],
    voice: bool | None,
    repeats: int,
    threads: int,
    output: Path | None,
    worker: bool,
) -> None:
    """Compare engines on utterances of some lengths, with and without a voice."""
    voices = (False, True) if voice is None else (voice,)
    if worker:
        (engine,) = engines
        runs = _run_engine(engine, size, seconds, voices, repeats, threads)
        click.echo(json.dumps([asdict(run) for run in runs]))
        return
    bundle_folder(size, tuple(name for name in engines if " " not in name) or ("fp32",))
    runs = []
    for engine in engines:
        arguments = ["--worker", "--engine", engine, "--size", size, "--repeats", str(repeats)]
        arguments += ["--threads", str(threads)]
        for length in seconds:
            arguments += ["--seconds", str(length)]
        if voice is not None:
            arguments += ["--voice" if voice else "--no-voice"]
        done = subprocess.run(
            [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True
        )
        found = [Run(**run) for run in json.loads(done.stdout.splitlines()[-1])]
        for run in found:
            _print(run, next((r for r in runs if _same(r, run)), None))
        runs += found
    result = {"machine": describe_machine(), "size": size, "threads": threads, "repeats": repeats}
    text = json.dumps({**result, "runs": [asdict(run) for run in runs]})
    if output is not None:
        output.write_text(text + "\n")
    click.echo(text)


def _same(first: Run, other: Run) -> bool:
    return (first.audio_seconds, first.voice) == (other.audio_seconds, other.voice)


def _print(run: Run, first: Run | None) -> None:
    stages = "  ".join(f"{stage} {run.seconds[stage]:6.2f}" for stage in (_FIRST, *STAGES))
    ratio = f"{first.total_seconds / run.total_seconds:5.2f} x" if first else "1.00 x"
    click.echo(
        f"{run.engine:<18} {run.audio_seconds:5.1f} s {'voice' if run.voice else '     '}  "
        f"{stages}  total {run.total_seconds:7.2f} s  RTF {run.real_time_factor:5.2f}  {ratio}  "
        f"{run.peak_mb:5.0f} MB"
    )


def _run_engine(
    engine: str,
    size: str,
    seconds: tuple[float, ...],
    voices: tuple[bool, ...],
    repeats: int,
    threads: int,
) -> list[Run]:
    say = (_open_transformers if " " in engine else _open_ours)(engine, size, threads)
    say(20, False)  # warm up
    runs = []
    for voice in voices:
        for length in seconds:
            tokens = round(length * _SEMANTIC_RATE_HZ)
            measured = [say(tokens, voice) for _ in range(repeats)]
            medians = {
                stage: statistics.median(times[stage] for times in measured)
                for stage in (_FIRST, *STAGES)
            }
            total = sum(medians[stage] for stage in STAGES)
            coarse = measured[0]["coarse tokens"]
            runs.append(
                Run(
                    engine=engine,
                    audio_seconds=length,
                    voice=voice,
                    seconds=medians,
                    total_seconds=total,
                    real_time_factor=total / length,
                    tokens_per_second={
                        "semantic": (tokens - 1) / (medians["semantic"] - medians[_FIRST]),
                        "coarse": coarse / medians["coarse"],
                    },
                    peak_mb=peak_megabytes(),
                )
            )
    return runs


Say = Callable[[int, bool], dict[str, float]]


def _open_ours(precision: str, size: str, threads: int) -> Say:
    from bark_onnx.runtime import Bark, GenerationOptions

    folder = bundle_folder(size, (precision,))
    bark = Bark.load(folder, precision=precision, threads=threads, max_rows=1, verify=False)
    options = GenerationOptions.greedy()

    def say(tokens: int, voice: bool) -> dict[str, float]:
        first: dict[str, float] = {}
        last: dict[str, float] = {}

        def note(stage: str, done: int, total: int) -> None:
            now = time.perf_counter()
            first.setdefault(stage, now)
            last[stage] = now

        started = time.perf_counter()
        speech = bark.speak(
            _TEXT,
            voice=bark.voices[0] if voice else None,
            options=options,
            semantic_max_new_tokens=tokens,
            on_progress=note,
        )
        assert len(speech.semantic_tokens) == tokens, "the utterance ended early"
        ends = [started, *(last[stage] for stage in STAGES)]
        times = {stage: ends[index + 1] - ends[index] for index, stage in enumerate(STAGES)}
        return {
            **times,
            _FIRST: first["semantic"] - started,
            "coarse tokens": speech.coarse_tokens.size,
        }

    return say


def _open_transformers(engine: str, size: str, threads: int) -> Say:
    import numpy as np
    import torch
    from transformers import BarkModel

    from bark_onnx.runtime.bundle import Bundle

    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if engine.endswith("bf16") else torch.float32
    model = BarkModel.from_pretrained(checkpoint_folder(size), dtype=dtype).eval()
    bundle = Bundle(bundle_folder(size), verify=False)
    ids = bundle.tokenizer().encode(_TEXT)
    prompt = bundle.voice(bundle.voice_names()[0])
    assert prompt is not None
    keys = ("semantic_prompt", "coarse_prompt", "fine_prompt")
    history = {key: torch.tensor(getattr(prompt, key)) for key in keys}
    input_ids = torch.zeros((1, 256), dtype=torch.long)
    input_ids[0, : len(ids)] = torch.from_numpy(ids)
    mask = (torch.arange(256) < len(ids)).long()[None]
    times: dict[str, float] = {}

    def timed(name: str, owner: Any, attribute: str) -> None:
        function = getattr(owner, attribute)

        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = function(*args, **kwargs)
            times[name] = time.perf_counter() - started
            if name == "coarse":
                times["coarse tokens"] = result.numel()
            return result

        setattr(owner, attribute, run)

    timed("semantic", model.semantic, "generate")
    timed("coarse", model.coarse_acoustics, "generate")
    timed("fine", model.fine_acoustics, "generate")
    timed("codec", model, "codec_decode")

    def first_token() -> float:
        started = time.perf_counter()
        embedded = torch.zeros((1, 257), dtype=torch.long)
        with torch.no_grad():
            model.semantic(input_ids=embedded, use_cache=True)
        return time.perf_counter() - started

    def say(tokens: int, voice: bool) -> dict[str, float]:
        times.clear()
        samples = model.generate(
            input_ids,
            attention_mask=mask,
            history_prompt=history if voice else None,
            semantic_do_sample=False,
            coarse_do_sample=False,
            fine_temperature=None,
            semantic_max_new_tokens=tokens,
        )
        assert np.isfinite(samples.float().numpy()).all()
        return {**times, _FIRST: first_token()}

    return say


if __name__ == "__main__":
    main()
