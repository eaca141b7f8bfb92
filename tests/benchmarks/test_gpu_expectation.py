"""What is expected of a GPU follows from counts, and from rates that are stated."""

import json
from pathlib import Path

import pytest
from gpu_expectation import (
    COPY,
    GPUS,
    LAUNCH,
    WAIT,
    Gpu,
    device_seconds,
    expect,
    expected_rate,
    find_gpu,
    host_seconds,
    read_counts,
    step_seconds,
)

ROOT = Path(__file__).parents[2]
H200, L4 = GPUS
NOTHING = {
    "sequences": 1,
    "copies_in": 0,
    "copies_out": 0,
    "bytes_in": 0,
    "bytes_out": 0,
    "waits": 0,
    "launches": 0,
    "replays": 0,
    "plans": 0,
    "nodes": 0,
    "host_seconds": 0.0,
}


def test_calls_of_the_host_add_up() -> None:
    row = {**NOTHING, "host_seconds": 0.5, "copies_in": 10, "copies_out": 10, "waits": 100}
    assert host_seconds(H200, row) == pytest.approx(0.5 + 20 * COPY + 100 * WAIT)
    assert host_seconds(H200, {**NOTHING, "plans": 3}) == pytest.approx(6e-3)


def test_bytes_are_copied_at_a_quarter_of_the_bus() -> None:
    row = {**NOTHING, "bytes_out": 16_000_000_000}
    assert host_seconds(H200, row) == pytest.approx(1.0)


def test_a_step_waits_for_its_nodes_or_for_its_weights_and_caches() -> None:
    slow = Gpu("slow", 1e9, 1e12, 1e12, 1e9)
    weights = 2 * (12 * 12 * 768**2 + 768 * 2096)
    caches = 2 * 2 * 12 * 768 * 400 * 8
    expected = (weights + caches) / 0.6e9
    found = step_seconds(slow, "bark-small", "coarse", 8, nodes=0, context=400)
    assert found == pytest.approx(expected)
    nodes = step_seconds(H200, "bark-small", "coarse", 1, nodes=1000, context=1)
    assert nodes == pytest.approx(1000 * 2e-6)


def test_prompts_of_a_slid_window_cost_as_much_as_their_tokens() -> None:
    row = {**NOTHING, "stage": "semantic", "replays": 0}
    once, none = device_seconds(H200, "bark-small", row, 10.0)
    assert none == 0.0
    twice, _ = device_seconds(H200, "bark-small", {**row, "sequences": 2}, 10.0)
    assert twice == pytest.approx(2 * once)
    coarse, _ = device_seconds(H200, "bark-small", {**row, "stage": "coarse"}, 10.0)
    assert 25 * once < coarse < 100 * once  # 25 windows of up to 887 tokens


@pytest.mark.parametrize("size", ["bark-small", "bark"])
def test_an_h200_is_faster_than_an_l4_and_no_more_than_the_host_allows(size: str) -> None:
    counts = read_counts()
    for sequences in counts["sequences"]:
        fast, slow = (expect(gpu, size, sequences) for gpu in (H200, L4))
        assert fast is not None
        assert slow is not None
        assert fast.audio_per_second > slow.audio_per_second > 0
        assert sum(fast.seconds.values()) > fast.host_share * sum(fast.seconds.values()) > 0


def test_what_was_not_counted_is_not_expected() -> None:
    assert expected_rate(H200, "bark-small", 3) is None
    assert expected_rate(H200, "tiny", 1) is None


def test_a_gpu_is_found_by_the_name_that_nvidia_smi_shows() -> None:
    assert find_gpu("NVIDIA H200") is H200
    assert find_gpu("NVIDIA L4") is L4
    assert find_gpu("NVIDIA L40S") is None
    assert find_gpu(None) is None


def test_launches_are_faster_than_launches_with_waits() -> None:
    assert 0 < LAUNCH < LAUNCH + WAIT == pytest.approx(9.6e-6)


def test_the_documentation_has_the_expected_rates() -> None:
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    for gpu in GPUS:
        for size in ("bark-small", "bark"):
            rates = [expected_rate(gpu, size, n) for n in read_counts()["sequences"]]
            cells = " | ".join(f"{rate:.1f}" for rate in rates if rate)
            assert f"| {gpu.name}, {size} | {cells} |" in page, "make gpu-counts, then the page"


def test_counts_state_their_machine() -> None:
    counts = json.loads((ROOT / "benchmarks" / "gpu" / "counts.json").read_text())
    assert counts["machine"]["date"]
    assert counts["machine"]["processor"]
