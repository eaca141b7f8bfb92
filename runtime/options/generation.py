"""What a caller can say about generation, and what it comes to with a checkpoint's defaults."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.generation_config import GenerationSettings, Sampling
from bark_onnx.graphs.shapes import CausalShape

_LEAST_TEMPERATURE = 1e-6  # below it, logits divided by it overflow
_PREFIXES = ("semantic_", "coarse_", "fine_")


@dataclass(frozen=True)
class GenerationOptions:
    """Generation settings by the names that transformers' `BarkModel.generate` knows them.

    `min_eos_p_warped` is not among those: it is how Suno's own code reads `min_eos_p`.

    None means the checkpoint's own value.

    Raises:
        OptionsError: a value has a wrong type or is out of range.
    """

    semantic_do_sample: bool | None = None  # False: always the most probable token
    semantic_temperature: float | None = None  # > 0; below 1 is safer, above 1 wilder
    semantic_top_k: int | None = None  # draw among this many; 0 among all
    semantic_top_p: float | None = None  # draw among the likeliest with this share; 1.0 among all
    semantic_max_new_tokens: int | None = None  # about 50 a second; at most 768 with Suno's models
    min_eos_p: float | None = (
        None  # end as soon as ending is likelier than this; None: never forced
    )
    # Compare min_eos_p with the chance of drawing the end, as Suno's code does; otherwise with its
    # probability before temperature, top_k and top_p, as transformers does.
    min_eos_p_warped: bool | None = None
    coarse_do_sample: bool | None = None
    coarse_temperature: float | None = None
    coarse_top_k: int | None = None
    coarse_top_p: float | None = None
    fine_temperature: float | None = None  # 1.0 is not sampled but the most probable code
    fine_do_sample: bool | None = None  # None: sample unless fine_temperature is 1.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name))

    @classmethod
    def greedy(cls) -> "GenerationOptions":
        """The most probable token everywhere: no randomness at all."""
        return cls(semantic_do_sample=False, coarse_do_sample=False, fine_do_sample=False)

    @classmethod
    def suno(cls) -> "GenerationOptions":
        """The defaults of Suno's own code, which does not stop at the 50 likeliest tokens.

        Source: `generate_audio` and `generate_text_semantic` of suno-ai/bark. Its normalisation of
        white space is left out: the tokenizer treats any alike.
        """
        return cls(
            semantic_do_sample=True,
            semantic_temperature=0.7,
            semantic_top_k=0,
            semantic_top_p=1.0,
            min_eos_p=0.2,
            min_eos_p_warped=True,
            coarse_do_sample=True,
            coarse_temperature=0.7,
            coarse_top_k=0,
            coarse_top_p=1.0,
            fine_do_sample=True,
            fine_temperature=0.5,
        )

    def replace(self, **overrides: Any) -> "GenerationOptions":
        """A copy with some settings changed.

        A name without prefix (temperature, top_k, top_p, do_sample) sets every stage that has it;
        a prefixed one wins over it, as in transformers. There, do_sample does not reach the fine
        stage, which samples by its temperature.

        Raises:
            OptionsError: a name is unknown or a value out of range.
        """
        names = {field.name for field in dataclasses.fields(self)}
        changes: dict[str, Any] = {}
        for name, value in overrides.items():
            if name in names or name == "semantic_min_eos_p":
                continue
            targets = {prefix + name for prefix in _PREFIXES} & names
            if name == "do_sample":
                targets.discard("fine_do_sample")
            if not targets or name == "max_new_tokens":
                raise OptionsError(f"setting {name!r} is unknown; expected one of {sorted(names)}")
            changes |= dict.fromkeys(targets, value)
        changes |= {name: value for name, value in overrides.items() if name in names}
        if "semantic_min_eos_p" in overrides:
            changes["min_eos_p"] = overrides["semantic_min_eos_p"]
        return dataclasses.replace(self, **changes)

    def resolve(self, settings: GenerationSettings, semantic: CausalShape) -> "ResolvedOptions":
        """Fill in the checkpoint's values.

        Raises:
            OptionsError: the combination is impossible, as sampling at temperature 0.
        """
        most = semantic.context_length - settings.semantic.prompt_length + 1
        max_new_tokens = _or(self.semantic_max_new_tokens, settings.semantic.max_new_tokens)
        if max_new_tokens > most:
            raise OptionsError(
                f"semantic_max_new_tokens is {max_new_tokens}, but the context holds {most}"
            )
        fine_temperature = _or(self.fine_temperature, settings.fine.temperature)
        return ResolvedOptions(
            semantic=self._sampling("semantic", settings.semantic.sampling),
            semantic_max_new_tokens=max_new_tokens,
            min_eos_p=self.min_eos_p,
            coarse=self._sampling("coarse", settings.coarse.sampling),
            fine=_sampling_checked(
                "fine", _or(self.fine_do_sample, fine_temperature != 1.0), fine_temperature, 0, 1.0
            ),
            min_eos_p_warped=bool(self.min_eos_p_warped),
        )

    def _sampling(self, stage: str, defaults: Sampling) -> Sampling:
        values = {
            field.name: _or(getattr(self, f"{stage}_{field.name}"), getattr(defaults, field.name))
            for field in dataclasses.fields(defaults)
        }
        return _sampling_checked(stage, **values)


@dataclass(frozen=True)
class ResolvedOptions:
    """Generation settings with nothing left open."""

    semantic: Sampling
    semantic_max_new_tokens: int
    min_eos_p: float | None
    coarse: Sampling
    fine: Sampling
    min_eos_p_warped: bool = False


# Makers of options to start from, by name.
SAMPLING_PRESETS: dict[str, Callable[[], GenerationOptions]] = {
    "transformers": GenerationOptions,
    "suno": GenerationOptions.suno,
    "greedy": GenerationOptions.greedy,
}


def _sampling_checked(
    stage: str, do_sample: bool, temperature: float, top_k: int, top_p: float
) -> Sampling:
    if do_sample and temperature <= 0:
        raise OptionsError(
            f"{stage}_temperature is {temperature} with sampling, expected more than 0; "
            f"for the most probable token give {stage}_do_sample=False"
        )
    return Sampling(do_sample, temperature, top_k, top_p)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def is_positive_int(value: object) -> bool:
    """Whether a value is an integer from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _check(name: str, value: Any) -> None:
    if value is None:
        return
    if name.endswith(("do_sample", "warped")):
        if not isinstance(value, bool):
            raise OptionsError(f"{name} is {value!r}, expected True or False")
    elif name.endswith(("top_k", "max_new_tokens")):
        least = 0 if name.endswith("top_k") else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise OptionsError(f"{name} is {value!r}, expected an integer from {least}")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise OptionsError(f"{name} is {value!r}, expected a number")
    elif name.endswith("temperature") and value < 0:
        raise OptionsError(f"{name} is {value!r}, expected a number from 0")
    elif name.endswith("temperature") and 0 < value < _LEAST_TEMPERATURE:
        raise OptionsError(f"{name} is {value!r}, expected at least {_LEAST_TEMPERATURE}")
    elif name.endswith(("top_p", "eos_p")) and not 0 < value <= 1:
        raise OptionsError(f"{name} is {value!r}, expected more than 0 and at most 1")
