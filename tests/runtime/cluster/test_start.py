"""Connections to Ray that fail, and what a replica gets of a cluster's CPUs and GPUs."""

from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra [ray] is missing: make test-ray has it")

import ray

from bark_onnx.graphs.errors import OptionsError, ServerError
from bark_onnx.runtime.cluster import start as module
from bark_onnx.runtime.cluster.settings import SpeakerSettings


def test_cluster_that_does_not_answer_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: Any, **__: Any) -> None:
        raise ConnectionError("Could not connect\nto the cluster")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ServerError) as caught:
        module._connect("10.0.0.9:6379", 2)
    message = str(caught.value)
    assert "10.0.0.9:6379" in message
    assert "HOST:PORT" in message
    assert "\n" not in message


def test_start_of_a_cluster_is_tried_again_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[dict[str, Any]] = []

    def init(address: str, **settings: Any) -> None:
        calls.append({"address": address, **settings})
        if len(calls) < 3:
            raise RuntimeError("The current node timed out during startup")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    module._connect(None, 64)
    assert [call["address"] for call in calls] == ["local"] * 3
    assert calls[0]["num_cpus"] >= 64
    assert calls[0]["log_to_driver"] is False
    calls.clear()
    monkeypatch.setattr(module, "_STARTS", 2)
    with pytest.raises(ServerError, match="Ray cannot start on this machine"):
        module._connect(None, 1)


@pytest.mark.parametrize(
    ("cpus", "replicas", "expected"),
    [([8], 2, 4), ([8, 8], 2, 8), ([8, 8], 3, 5), ([4, 16], 2, 4), ([0, 8], 1, 8), ([2], 4, 1)],
)
def test_replica_gets_an_equal_part_of_the_cpus_that_fits_into_every_node(
    monkeypatch: pytest.MonkeyPatch, cpus: list[int], replicas: int, expected: int
) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": float(count)}} for count in cpus]
    monkeypatch.setattr(ray, "nodes", lambda: [*nodes, {"Alive": False, "Resources": {"CPU": 1.0}}])
    assert module._cpus_of_a_replica(replicas) == expected


@pytest.mark.parametrize(
    ("gpus", "replicas", "expected"), [(0, 2, 0.0), (1, 2, 0.5), (2, 2, 1.0), (4, 2, 1.0)]
)
def test_replica_gets_a_gpu_or_a_part_of_one(
    monkeypatch: pytest.MonkeyPatch, gpus: int, replicas: int, expected: float
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": float(gpus)} if gpus else {})
    settings = SpeakerSettings(bundle="demo", replicas=replicas)
    assert module._gpus_of_a_replica(settings) == expected


def test_address_of_a_ray_client_is_refused() -> None:
    with pytest.raises(OptionsError, match="ray://"):
        module.check_address("ray://head:10001")
    module.check_address("auto")
