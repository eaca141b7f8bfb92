"""Arguments of `BarkModel.generate` as generation options. What has no effect here is an error.

Source: `BarkModel.generate` of transformers. A name without prefix applies to every stage that has
it, one with the prefix of a stage takes precedence, and None switches a warper off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import GenerationConfig

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.transformers.configs import CONFIG_NAMES

_SAMPLING = ("do_sample", "temperature", "top_k", "top_p")
_SETTINGS: dict[Stage, tuple[str, ...]] = {
    "semantic": (*_SAMPLING, "max_new_tokens", "min_eos_p"),
    "coarse": _SAMPLING,
    "fine": ("temperature",),
}
# Values that None in an argument stands for, and None in a generation_config.
_SWITCHED_OFF = {"do_sample": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
_DEFAULTS = _SWITCHED_OFF | {"top_k": 50}
_PREFIXED = [f"{stage}_{name}" for stage, names in _SETTINGS.items() for name in names]

# Values with which other arguments of `generate` change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "num_return_sequences": (1,),
    "use_cache": (True,),
    "repetition_penalty": (1.0,),
    "length_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "typical_p": (1.0,),
    "renormalize_logits": (True, False),
    "return_dict_in_generate": (True, False),  # the result is the audio either way
    "output_scores": (False,),
    "output_logits": (False,),
    "output_attentions": (False,),
    "output_hidden_states": (False,),
}
# Of a generation_config, set by pipelines and files: they have no effect on Bark.
_UNUSED = ("pad_token_id", "transformers_version", "_from_model_config", "model_type")


@dataclass(frozen=True)
class ArgumentReader:
    """Reads the arguments of `generate` for one bundle."""

    settings: Mapping[str, Any]  # the bundle's generation_config, with fixed token ids and lengths

    def read(self, arguments: Mapping[str, Any], config: GenerationConfig) -> GenerationOptions:
        """Options of one call, complete.

        Args:
            arguments: Keyword arguments of `generate`, without texts, voice and mask.
            config: The model's generation_config, which callers may change.

        Raises:
            OptionsError: A name is unknown, a value out of range, or without effect here.
        """
        found, prefixed = self._read_config(config), {}
        for name, value in arguments.items():
            stage = next((stage for stage in CONFIG_NAMES if name.startswith(f"{stage}_")), None)
            if name == "generation_config":
                _check_config_argument(value, config)
            elif stage is None:
                found |= self._read_without_prefix(name, value)
            elif (setting := name.removeprefix(f"{stage}_")) in _SETTINGS[stage]:
                prefixed[name] = _or_off(setting, value)
            else:
                self._check_neutral(name, setting, value)
        found |= prefixed
        if found["semantic_max_new_tokens"] is None:
            raise OptionsError("semantic_max_new_tokens is None, expected an integer from 1")
        return GenerationOptions(min_eos_p=found.pop("semantic_min_eos_p"), **found)

    def _read_config(self, config: GenerationConfig) -> dict[str, Any]:
        """The settings in the model's generation_config, after a check of all other values."""
        found: dict[str, Any] = {"semantic_min_eos_p": None}
        for stage, part in CONFIG_NAMES.items():
            given, fixed = getattr(config, part, None), self.settings[part]
            if not isinstance(given, Mapping):
                raise OptionsError(f"generation_config.{part} is {given!r}, expected a dict")
            names = {name for name in _SETTINGS[stage] if name in fixed}
            for name in names:
                value = given.get(name)
                found[f"{stage}_{name}"] = _DEFAULTS.get(name) if value is None else value
            for name in sorted((given.keys() | fixed.keys()) - names):
                self._check_fixed(f"generation_config.{part}[{name!r}]", name, given, fixed)
        for name in ("sample_rate", "codebook_size"):
            where = f"generation_config.{name}"
            self._check_fixed(where, name, {name: getattr(config, name, None)}, self.settings)
        return found

    def _read_without_prefix(self, name: str, value: Any) -> dict[str, Any]:
        """The settings by stage that an argument without prefix stands for."""
        if name == "max_new_tokens":
            raise OptionsError(
                "max_new_tokens is ambiguous, since the tokens of the stages differ; give "
                "semantic_max_new_tokens"
            )
        stages = [stage for stage, names in _SETTINGS.items() if name in names]
        if not stages:
            self._check_neutral(name, name, value)
        return {f"{stage}_{name}": _or_off(name, value) for stage in stages}

    def _check_fixed(
        self, where: str, name: str, given: Mapping[str, Any], fixed: Mapping[str, Any]
    ) -> None:
        if name not in fixed:
            self._check_neutral(where, name, given[name])
        elif given.get(name) != fixed[name]:
            raise OptionsError(
                f"{where} is {given.get(name)!r}, but the bundle was exported with "
                f"{fixed[name]!r}; change the checkpoint and export it again"
            )

    def _check_neutral(self, argument: str, name: str, value: Any) -> None:
        """Refuse an argument that is unknown, or whose value would have to change something."""
        end = self.settings[CONFIG_NAMES["semantic"]]["eos_token_id"]
        values = {**_NEUTRAL, "pad_token_id": (end,)}.get(name)
        if value is None and hasattr(GenerationConfig(), name):
            return
        if values is None:
            raise OptionsError(
                f"{argument} is not supported by BarkOnnxModel; expected {', '.join(_SAMPLING)}, "
                f"min_eos_p, or one of {', '.join(_PREFIXED)}"
            )
        if value not in values:
            raise OptionsError(
                f"{argument} is {value!r}, but BarkOnnxModel supports {values[0]!r} only"
            )


def _or_off(name: str, value: Any) -> Any:
    return _SWITCHED_OFF.get(name) if value is None else value


def _check_config_argument(given: Any, own: GenerationConfig) -> None:
    """Refuse a generation_config with values of its own, which `BarkModel` drops unread.

    A pipeline passes a copy of the model's.
    """
    if given is None or given is own:
        return
    if not isinstance(given, GenerationConfig):
        raise OptionsError(f"generation_config is {given!r}, expected a GenerationConfig")
    ours = own.to_dict()
    for name, value in given.to_diff_dict().items():
        if name not in _UNUSED and ours.get(name) != value:
            raise OptionsError(
                f"generation_config sets {name}, and BarkModel reads no generation_config of a "
                "call; give arguments such as semantic_temperature, or change "
                "model.generation_config"
            )
