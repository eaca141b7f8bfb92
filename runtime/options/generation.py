"""Generation options: what a caller sets, resolved with the checkpoint's defaults."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.generation_config import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    GenerationSettings,
    Sampling,
)
from bark_onnx.graphs.shapes import CausalShape

_PREFIXES = ("semantic_", "coarse_", "fine_")


@dataclass(frozen=True)
class GenerationOptions:
    """Generation settings, named as in transformers' `BarkModel.generate`.

    `min_eos_p_warped` is an addition: it selects how Suno's own code applies `min_eos_p`. None
    stands for the checkpoint's value.

    Raises:
        OptionsError: A value has a wrong type or is out of range.
    """

    semantic_do_sample: bool | None = None  # False: greedy
    semantic_temperature: float | None = None  # > 0; lower is more predictable
    semantic_top_k: int | None = None  # sample from this many tokens; 0: from all
    semantic_top_p: float | None = None  # sample from the likeliest with this share
    semantic_max_new_tokens: int | None = None  # about 50 a second; at most 768 with Suno's models
    min_eos_p: float | None = None  # end once its probability exceeds this; None: never forced
    # Compare min_eos_p with the probability after temperature, top_k and top_p, as Suno's code
    # does; otherwise with the one before, as transformers does.
    min_eos_p_warped: bool | None = None
    coarse_do_sample: bool | None = None  # as semantic_do_sample
    coarse_temperature: float | None = None  # as semantic_temperature
    coarse_top_k: int | None = None  # as semantic_top_k
    coarse_top_p: float | None = None  # as semantic_top_p
    fine_temperature: float | None = None  # 1.0: greedy; other values: sampled
    fine_do_sample: bool | None = None  # None: sample unless fine_temperature is 1.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name))

    @classmethod
    def greedy(cls) -> "GenerationOptions":
        """Greedy decoding in every stage, without randomness."""
        return cls(semantic_do_sample=False, coarse_do_sample=False, fine_do_sample=False)

    @classmethod
    def suno(cls) -> "GenerationOptions":
        """The defaults of Suno's own code, which samples without top_k.

        Source: `generate_audio` and `generate_text_semantic` of suno-ai/bark. Its normalization of
        white space is omitted: the tokenizer ignores differences in white space.
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

        A name without prefix (temperature, top_k, top_p, do_sample) sets every stage that has it,
        and a prefixed one takes precedence, as in transformers. As there, do_sample does not apply
        to the fine stage, which samples by its temperature.

        Raises:
            OptionsError: A name is unknown or a value out of range.
        """
        names = {field.name for field in dataclasses.fields(self)}
        if "semantic_min_eos_p" in overrides:
            overrides["min_eos_p"] = overrides.pop("semantic_min_eos_p")
        changes: dict[str, Any] = {}
        for name in [name for name in overrides if name not in names]:
            targets = {prefix + name for prefix in _PREFIXES} & names
            if name == "do_sample":
                targets.discard("fine_do_sample")
            if not targets or name == "max_new_tokens":
                raise OptionsError(f"setting {name!r} is unknown; expected one of {sorted(names)}")
            changes |= dict.fromkeys(targets, overrides.pop(name))
        return dataclasses.replace(self, **changes | overrides)

    def resolve(self, settings: GenerationSettings, semantic: CausalShape) -> "ResolvedOptions":
        """Fill in the checkpoint's values.

        Raises:
            OptionsError: The combination is impossible, such as sampling at temperature 0.
        """
        most = semantic.context_length - settings.semantic.prompt_length + 1
        max_new_tokens = _default(self.semantic_max_new_tokens, settings.semantic.max_new_tokens)
        if max_new_tokens > most:
            raise OptionsError(
                f"semantic_max_new_tokens is {max_new_tokens}, but the context holds {most}"
            )
        fine_temperature = _default(self.fine_temperature, settings.fine.temperature)
        fine_do_sample = _default(self.fine_do_sample, fine_temperature != 1.0)
        return ResolvedOptions(
            semantic=self._sampling("semantic", settings.semantic.sampling),
            semantic_max_new_tokens=max_new_tokens,
            min_eos_p=self.min_eos_p,
            coarse=self._sampling("coarse", settings.coarse.sampling),
            fine=_validated_sampling("fine", fine_do_sample, fine_temperature, 0, 1.0),
            min_eos_p_warped=bool(self.min_eos_p_warped),
        )

    def _sampling(self, stage: str, defaults: Sampling) -> Sampling:
        values = {
            name: _default(getattr(self, f"{stage}_{name}"), default)
            for name, default in dataclasses.asdict(defaults).items()
        }
        return _validated_sampling(stage, **values)


@dataclass(frozen=True)
class ResolvedOptions:
    """Generation settings, complete."""

    semantic: Sampling
    semantic_max_new_tokens: int
    min_eos_p: float | None
    coarse: Sampling
    fine: Sampling
    min_eos_p_warped: bool = False


# Presets that overrides apply to, by name.
SAMPLING_PRESETS: dict[str, Callable[[], GenerationOptions]] = {
    "transformers": GenerationOptions,
    "suno": GenerationOptions.suno,
    "greedy": GenerationOptions.greedy,
}


def _validated_sampling(
    stage: str, do_sample: bool, temperature: float, top_k: int, top_p: float
) -> Sampling:
    if do_sample and temperature <= 0:
        raise OptionsError(
            f"{stage}_temperature is {temperature} with sampling, expected more than 0; for the "
            f"most probable token give {stage}_do_sample=False, or use greedy for all stages"
        )
    return Sampling(do_sample, temperature, top_k, top_p)


def is_finite_number(value: object) -> bool:
    """Whether a value is a finite float, or an integer that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def is_positive_int(value: object) -> bool:
    """Whether a value is an integer from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _default(value: Any, default: Any) -> Any:
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
    elif not is_finite_number(value):
        raise OptionsError(f"{name} is {value!r}, expected a number")
    elif name.endswith("temperature") and value < 0:
        raise OptionsError(f"{name} is {value!r}, expected a number from 0")
    elif name.endswith("temperature") and 0 < value < MIN_TEMPERATURE:
        raise OptionsError(f"{name} is {value!r}, expected at least {MIN_TEMPERATURE}")
    elif name.endswith("temperature") and value > MAX_TEMPERATURE:
        raise OptionsError(f"{name} is {value!r}, expected at most {MAX_TEMPERATURE:.0f}")
    elif name.endswith(("top_p", "eos_p")) and not 0 < value <= 1:
        raise OptionsError(f"{name} is {value!r}, expected more than 0 and at most 1")
