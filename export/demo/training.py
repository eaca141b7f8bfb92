"""The training loop that all stages of the demo share."""

import json
import math
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, TextIO

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bark_onnx.export.demo import transformer

_SAVE_SECONDS = 60.0
_LOG_STEPS = 100
_WARM_UP_STEPS = 100

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """Settings of a run."""

    steps: int
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    average: float = 0.998  # decay of the moving average of the weights, which is what is kept
    weights: tuple[tuple[str, float], ...] = ()  # of losses, where not 1


class _Run:
    """A model in training, and all that is needed to go on after an interrupt.

    The state of the optimizer follows the model to its device.
    """

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.model, self.settings = model, settings
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters.values() if p.ndim > 1]},
            {"params": [p for p in self.parameters.values() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, settings.learning_rate, settings.betas, weight_decay=settings.weight_decay
        )
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}
        self.step = 0
        self.seconds = 0.0

    def advance(self, losses: Losses) -> None:
        """Take a step of gradient descent."""
        settings = self.settings
        share = self.step / settings.steps
        warm_up = min(1.0, (self.step + 1) / _WARM_UP_STEPS)
        rate = settings.learning_rate * warm_up * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        weights = dict(settings.weights)
        self.optimizer.zero_grad()
        total = torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(settings.average, self.step / (self.step + 10))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.average[name].lerp_(parameter, 1 - decay)

    def save(self, path: Path) -> None:
        state = {
            "model": {name: tensor.detach() for name, tensor in self.model.state_dict().items()},
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location=next(self.model.parameters()).device)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self.seconds = state["average"], state["step"], state["seconds"]


def train(
    name: str,
    model: nn.Module,
    loss: Callable[[torch.Generator], Losses],
    settings: Settings,
    work: Path,
    *,
    validate: Callable[[], Losses] | None = None,
) -> None:
    """Train a model, and write the moving average of its weights as NAME.pt in `work`.

    The model moves to the GPU if there is one; `CUDA_VISIBLE_DEVICES=` keeps it on the CPU. A run
    that was interrupted goes on where NAME.state.pt was written, at most a minute before. The log
    NAME.jsonl gets a line every hundred steps.

    Args:
        name: Name of the stage.
        model: Model, of which all parameters that require gradients are trained.
        loss: Losses of a batch that the generator draws.
        settings: Settings of the run.
        work: Folder of the training.
        validate: Losses on sentences that are not trained on.
    """
    state = work / f"{name}.state.pt"
    run = _Run(model.to(device()), settings)
    if state.exists():
        run.restore(state)
    log = _open_log(work / f"{name}.jsonl", run.step)
    bar = tqdm(total=settings.steps, initial=run.step, desc=name, file=sys.stderr)
    recent: list[dict[str, float]] = []  # losses since the last line of the log
    started = saved = time.monotonic()
    with log, bar:
        while run.step < settings.steps:
            losses = loss(torch.Generator().manual_seed(run.step))
            run.advance(losses)
            recent.append({key: value.item() for key, value in losses.items()})
            bar.update()
            now = time.monotonic()
            run.seconds, started = run.seconds + now - started, now
            if run.step % _LOG_STEPS == 0:
                means = {key: round(mean(each[key] for each in recent), 4) for key in losses}
                bar.set_postfix(means)
                line = {"step": run.step, "seconds": round(run.seconds), **means}
                log.write(json.dumps(line) + "\n")
                log.flush()
                recent = []
            if now - saved > _SAVE_SECONDS:
                run.save(state)
                saved = now
        run.save(state)
        with torch.no_grad():
            for key, parameter in run.parameters.items():
                parameter.copy_(run.average[key])
            end: dict[str, Any] = {"machine": _machine()}
            if validate is not None:
                losses = validate()
                end["held_out"] = {key: round(value.item(), 4) for key, value in losses.items()}
            log.write(json.dumps(end) + "\n")
    transformer.fold_parts(model.cpu())
    torch.save(model.state_dict(), work / f"{name}.pt")


def _open_log(path: Path, step: int) -> TextIO:
    """Open the log of a run that goes on at `step`; the lines of later steps are removed."""
    lines = path.read_text().splitlines() if path.exists() else []
    past = [line for line in lines if json.loads(line).get("step", math.inf) <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{line}\n" for line in past))
    partial.replace(path)
    return path.open("a")


def device() -> torch.device:
    """The first GPU that torch can use, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _machine() -> str:
    gpu = torch.cuda.get_device_name() if device().type == "cuda" else platform.machine()
    return f"{gpu}, {torch.get_num_threads()} threads, torch {torch.__version__}"
