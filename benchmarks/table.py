"""The README's table, from a result file of compare.py."""

import json
import sys
from pathlib import Path
from typing import Any

_SECONDS = 7.0  # the usual utterance
_NAMES = {
    "transformers": "transformers {}",
    "openvino": "OpenVINO {}",
    "low-memory": "bark-onnx {}, low memory",
}


def markdown_table(result: dict[str, Any]) -> str:
    """One row per engine for the usual utterance, then where and how it was measured."""
    machine, versions = result["machine"], result["machine"]["versions"]
    plain, voiced = (
        {run["engine"]: run for run in result["runs"] if _is_usual(run, voice=voice)}
        for voice in (False, True)
    )
    first = next(iter(plain.values()))
    lines = [
        "| | seconds | with a voice | real-time factor | times as fast | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for engine, run in plain.items():
        name = _NAMES.get(engine.split(" ")[0], "bark-onnx {}").format(engine.split(" ")[-1])
        ratio = first["total_seconds"] / run["total_seconds"]
        lines.append(
            f"| {name} | {run['total_seconds']:.1f} | {voiced[engine]['total_seconds']:.1f} "
            f"| {run['real_time_factor']:.1f} | {ratio:.1f} "
            f"| {voiced[engine]['peak_mb'] / 1024:.1f} GiB |"
        )
    lines += [
        "",
        f"{_SECONDS:.0f} s of audio, {result['size']} shapes with random weights, greedy, "
        f"{result['threads']} threads of {machine['processor']}, {machine['date']}, onnxruntime "
        f"{versions['onnxruntime']}, torch {versions['torch']}, transformers "
        f"{versions['transformers']}{_openvino(result)}: `python benchmarks/compare.py`.",
    ]
    return "\n".join(lines)


def _openvino(result: dict[str, Any]) -> str:
    """Its version, where it was measured."""
    if not any(run["engine"].startswith("openvino") for run in result["runs"]):
        return ""
    return f", openvino {result['machine']['versions']['openvino']}"


def _is_usual(run: dict[str, Any], *, voice: bool) -> bool:
    return run["audio_seconds"] == _SECONDS and run["voice"] == voice


if __name__ == "__main__":
    print(markdown_table(json.loads(Path(sys.argv[1]).read_text())))
