"""bark-onnx serve --ray: its options become the settings of both tiers."""

from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra [ray] is missing: make test-ray has it")

import bark_onnx.runtime.cli.serve as command
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.cluster.service import ClusterService
from bark_onnx.runtime.cluster.settings import SpeakerSettings


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command gives to the server."""
    found: dict[str, Any] = {}

    def serve(settings: Any, load: Any, **rest: Any) -> None:
        found.update(rest, settings=settings, load=load)

    monkeypatch.setattr(command, "_import_server", lambda: serve)
    return found


def test_options_become_settings_of_both_tiers(received: dict[str, Any]) -> None:
    arguments = "-m demo --ray --replicas 2 --max-replicas 5 --threads 3 --ray-address auto"
    arguments += " --max-batch-size 4 --max-queue 9 --no-warm-up --shutdown-seconds 7 --low-memory"
    arguments += " --provider cpu --precision int8 --unix-socket /run/bark.sock"
    command.serve.main(arguments.split(), standalone_mode=False)
    load = received["load"]
    assert load.args == (
        SpeakerSettings(
            bundle="demo",
            provider="cpu",
            precision="int8",
            low_memory=True,
            max_batch_size=4,
            max_queue=9,
            replicas=2,
            max_replicas=5,
            warms_up=False,
            shutdown_seconds=7,
        ),
    )
    assert load.keywords == {"address": "auto", "threads": 3}
    assert received["make_service"] is ClusterService
    assert received["settings"].shutdown_seconds == 7
    assert str(received["unix_socket"]) == "/run/bark.sock"


def test_one_replica_is_started_by_default(received: dict[str, Any]) -> None:
    command.serve.main(["-m", "demo", "--ray"], standalone_mode=False)
    (settings,) = received["load"].args
    assert (settings.replicas, settings.most_replicas) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ray-address", "ray://host:10001"], ["ray://host:10001", "HOST:PORT"]),
        (["--replicas", "3", "--max-replicas", "2"], ["max_replicas", "2", "3"]),
    ],
)
def test_impossible_option_is_an_error_before_anything_starts(
    received: dict[str, Any], arguments: list[str], words: list[str]
) -> None:
    with pytest.raises(OptionsError) as caught:
        command.serve.main(["-m", "demo", "--ray", *arguments], standalone_mode=False)
    for word in words:
        assert word in str(caught.value)
    assert not received
