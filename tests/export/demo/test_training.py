"""The training loop goes on after an interrupt as if there had been none."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from bark_onnx.export.demo import training
from bark_onnx.export.demo.training import Losses, Settings, train

SETTINGS = Settings(steps=40, learning_rate=0.05)


class InterruptError(Exception):
    """Stands for a kill."""


def new_model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def loss_of(model: nn.Module, stop_at: int = -1) -> object:
    def loss(generator: torch.Generator) -> Losses:
        if generator.initial_seed() == stop_at:
            raise InterruptError
        values = torch.randn(16, 3, generator=generator)
        target = values @ torch.tensor([[1.0], [2.0], [3.0]])
        return {"squared": nn.functional.mse_loss(model(values), target)}

    return loss


def losses_in(log: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [(line["step"], line["squared"]) for line in lines if "step" in line]


def test_an_interrupted_run_equals_one_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    train("line", model := new_model(), loss_of(model), SETTINGS, whole)
    monkeypatch.setattr(training, "_SAVE_SECONDS", 0.0)
    with pytest.raises(InterruptError):
        train("line", model := new_model(), loss_of(model, 23), SETTINGS, parts)
    train("line", model := new_model(), loss_of(model), SETTINGS, parts)
    expected, found = torch.load(whole / "line.pt"), torch.load(parts / "line.pt")
    for name in expected:
        assert torch.equal(found[name], expected[name])


def test_the_log_of_an_interrupted_run_equals_that_of_one_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_LOG_STEPS", 1)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    train("line", model := new_model(), loss_of(model), SETTINGS, whole)
    for seconds, stop in ((0.0, 10), (60.0, 23)):  # the state of step 10, the log up to step 23
        monkeypatch.setattr(training, "_SAVE_SECONDS", seconds)
        with pytest.raises(InterruptError):
            train("line", model := new_model(), loss_of(model, stop), SETTINGS, parts)
    train("line", model := new_model(), loss_of(model), SETTINGS, parts)
    assert losses_in(parts / "line.jsonl") == losses_in(whole / "line.jsonl")


def test_a_line_of_the_log_has_the_mean_of_the_steps_since_the_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(training, "_LOG_STEPS", 40)
    with pytest.raises(InterruptError):
        train("line", model := new_model(), loss_of(model, 38), SETTINGS, tmp_path)
    losses: list[float] = []
    model = new_model()
    again = loss_of(model)

    def loss(generator: torch.Generator) -> Losses:
        found = again(generator)
        losses.append(found["squared"].item())
        return found

    train("line", model, loss, SETTINGS, tmp_path)
    ((_, found),) = losses_in(tmp_path / "line.jsonl")
    assert len(losses) == 2
    assert found == pytest.approx(sum(losses) / 2, abs=1e-4)


def test_the_loss_falls_and_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_LOG_STEPS", 10)
    monkeypatch.setattr(training, "_WARM_UP_STEPS", 1)
    model = new_model()
    train(
        "line",
        model,
        loss_of(model),
        SETTINGS,
        tmp_path,
        validate=lambda: {"squared": model.weight.sum()},
    )
    lines = [json.loads(line) for line in (tmp_path / "line.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines[:-1]] == [10, 20, 30, 40]
    assert lines[3]["squared"] < 0.8 * lines[0]["squared"]
    assert lines[-1]["held_out"]["squared"] > 0.5
    assert "torch" in lines[-1]["machine"]
