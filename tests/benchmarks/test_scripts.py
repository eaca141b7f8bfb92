"""Every benchmark, on a tiny model: a table, and one JSON object as its last line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ONCE = ("--seconds", "1", "--no-voice", "--repeats", "1")


def run(script: str, *arguments: str) -> tuple[list[str], str]:
    """Lines of stdout, and stderr."""
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "Usage:" in done.stderr, done.stderr
    return done.stdout.splitlines(), done.stderr


def result(script: str, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    """The table, and the JSON object after it."""
    *table, last = run(script, "--size", "tiny", *arguments)[0]
    found = json.loads(last)
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["versions"]["onnxruntime"]
    return table, found


def test_decode_relates_steps_to_memory_speed_and_passes_to_product_speed():
    table, found = result("decode.py")
    assert sum("of a plain read" in line for line in table) >= 4
    assert sum("of plain products" in line for line in table) >= 4
    assert found["peak_mb"] > 10


def test_batch_reports_tokens_per_second_for_each_batch_size():
    table, found = result("batch.py", "--precision", "fp32", "--steps", "2")
    assert [point["batch_size"] for point in found["points"]] == [1, 2, 4, 8, 16, 32]
    assert all(point["tokens_per_second"] > 0 for point in found["points"])
    assert len(table) == 6


def test_compare_runs_every_engine_on_the_same_utterance(tmp_path: Path):
    engines = ("transformers fp32", "fp32", "int8", "low-memory int8")
    named = [word for engine in engines for word in ("--engine", engine)]
    output = tmp_path / "result.json"
    table, found = result("compare.py", *named, *ONCE, "--output", str(output))
    assert json.loads(output.read_text()) == found
    assert tuple(measured["engine"] for measured in found["runs"]) == engines
    assert len(table) == len(engines)
    for measured in found["runs"]:
        assert measured["total_seconds"] == pytest.approx(sum(measured["seconds"].values()))
        assert measured["peak_mb"] > 10
        assert measured["device_mb"] is None


def test_compare_refuses_an_engine_that_the_provider_lacks():
    _, errors = run("compare.py", "--provider", "cuda", "--engine", "int8")
    assert "int8 does not run on cuda; expected" in errors


def test_precision_compares_random_and_trained_weights():
    table, found = result("precision.py", "--steps", "2")
    stages = ("semantic", "coarse", "fine")
    assert set(found["errors"]) == {
        f"{weights} {precision}/{stage}"
        for weights in ("random", "trained")
        for precision in ("int8", "int4")
        for stage in stages
    }
    assert len(table) == len(stages) + len(found["errors"])
    for error in found["errors"].values():
        assert all(figure >= 0 for figure in error.values())
    assert found["peak_mb"] > 100


def test_serve_measures_a_server_with_and_without_batching():
    clients = ("--clients", "1", "--clients", "3")
    table, found = result("serve.py", *clients, "--requests", "2", "--seconds", "0.4")
    points = [
        (point["max_batch_size"], point["clients"], point["requests"]) for point in found["points"]
    ]
    assert points == [(8, 1, 2), (8, 3, 3), (1, 1, 2), (1, 3, 3)]
    assert len(table) == 1 + len(points)
    for point in found["points"]:
        assert 0 < point["first_audio_p50"] <= point["latency_p50"] <= point["latency_p95"]
        assert point["audio_per_second"] > 0
        assert point["mean_batch_size"] == 1 or point["max_batch_size"] > 1 < point["clients"]
        assert point["peak_mb"] > 100
        assert point["replicas"] == 0


@pytest.mark.parametrize("path", sorted((BENCHMARKS / "results").iterdir()), ids=lambda it: it.name)
def test_committed_result_states_its_machine_and_date(path: Path):
    found = json.loads(path.read_text())
    assert found["machine"]["processor"]
    assert found["machine"]["date"] in path.name
    assert any(found.get(key) for key in ("runs", "points", "rows", "errors"))
