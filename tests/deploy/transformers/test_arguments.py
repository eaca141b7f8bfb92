"""Arguments of `generate` as options: precedence, None, and errors for all that has no effect."""

import copy
from typing import Any

import pytest
from transformers import GenerationConfig

from bark_onnx.export.random_bark import RandomBark
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime import GenerationOptions
from bark_onnx.transformers.arguments import ArgumentReader
from tests.support.messages import assert_one_line

SETTINGS = RandomBark().generation_config()


def config() -> GenerationConfig:
    return GenerationConfig(**copy.deepcopy(SETTINGS))


def read(own: GenerationConfig | None = None, **arguments: Any) -> GenerationOptions:
    return ArgumentReader(SETTINGS).read(arguments, own or config())


def error_of(own: GenerationConfig | None = None, **arguments: Any) -> OptionsError:
    with pytest.raises(OptionsError) as caught:
        read(own, **arguments)
    return caught.value


def test_without_arguments_the_settings_are_those_of_the_checkpoint():
    sampling = {"do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 1.0}
    assert read() == GenerationOptions(
        **{
            f"{stage}_{name}": sampling[name]
            for stage in ("semantic", "coarse")
            for name in sampling
        },
        semantic_max_new_tokens=150,
        fine_temperature=0.5,
    )


def test_a_name_without_prefix_sets_every_stage_that_has_it():
    options = read(do_sample=False, temperature=0.4, top_k=7, top_p=0.9, min_eos_p=0.2)
    assert (options.semantic_do_sample, options.coarse_do_sample) == (False, False)
    assert options.fine_do_sample is None
    assert (options.semantic_temperature, options.coarse_temperature) == (0.4, 0.4)
    assert (options.fine_temperature, options.min_eos_p) == (0.4, 0.2)
    assert (options.semantic_top_k, options.coarse_top_k) == (7, 7)
    assert (options.semantic_top_p, options.coarse_top_p) == (0.9, 0.9)


@pytest.mark.parametrize("prefixed_first", [True, False])
def test_a_prefix_takes_precedence_in_any_order(prefixed_first: bool):
    arguments = {"temperature": 0.4, "fine_temperature": 0.9}
    if prefixed_first:
        arguments = dict(reversed(arguments.items()))
    options = read(**arguments)
    assert (options.semantic_temperature, options.fine_temperature) == (0.4, 0.9)


def test_none_switches_a_warper_off():
    options = read(do_sample=None, temperature=None, top_k=None, top_p=None, min_eos_p=None)
    assert (options.semantic_do_sample, options.semantic_temperature) == (False, 1.0)
    assert (options.coarse_top_k, options.coarse_top_p) == (0, 1.0)
    assert (options.fine_temperature, options.min_eos_p) == (1.0, None)


def test_null_in_the_generation_config_is_the_default_of_transformers():
    own = config()
    own.semantic_config |= {"top_k": None, "temperature": None}
    del own.semantic_config["do_sample"]
    options = read(own)
    assert (options.semantic_top_k, options.semantic_temperature) == (50, 1.0)
    assert options.semantic_do_sample is False


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_beams": 1},
        {"semantic_num_beams": 1},
        {"use_cache": True},
        {"renormalize_logits": True},
        {"return_dict_in_generate": False},
        {"pad_token_id": 10_000},
        {"bad_words_ids": None},
        {"generation_config": None},
    ],
    ids=str,
)
def test_arguments_that_change_nothing_are_accepted(arguments: dict[str, Any]):
    assert read(**arguments) == read()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"num_beams": 4}, ("num_beams is 4", "supports 1 only")),
        ({"semantic_num_beams": 4}, ("semantic_num_beams is 4",)),
        ({"num_return_sequences": 2}, ("num_return_sequences is 2",)),
        ({"use_cache": False}, ("use_cache is False",)),
        ({"output_scores": True}, ("output_scores is True",)),
        ({"pad_token_id": 0}, ("pad_token_id is 0", "10000")),
        ({"repetition_penalty": 1.2}, ("repetition_penalty is 1.2",)),
        ({"max_new_tokens": 20}, ("max_new_tokens", "give semantic_max_new_tokens")),
        ({"coarse_max_new_tokens": 20}, ("coarse_max_new_tokens is not supported",)),
        ({"semantic_max_new_tokens": None}, ("semantic_max_new_tokens is None",)),
        ({"semantic_max_new_tokens": 0}, ("semantic_max_new_tokens is 0", "from 1")),
        ({"coarse_min_eos_p": 0.2}, ("coarse_min_eos_p is not supported",)),
        ({"fine_top_k": 5}, ("fine_top_k is not supported", "fine_temperature")),
        ({"fine_do_sample": False}, ("fine_do_sample is not supported", "fine_temperature")),
        ({"temperature": -1.0}, ("temperature is -1.0",)),
        ({"min_eos_p": 2.0}, ("min_eos_p is 2.0",)),
        ({"do_sample": 1}, ("do_sample is 1", "True or False")),
        ({"logits_processor": []}, ("logits_processor is not supported",)),
        ({"streamer": "a streamer"}, ("streamer is not supported",)),
        ({"voice_preset": "v2/en_speaker_0"}, ("voice_preset is not supported",)),
        ({"tempreature": 0.4}, ("tempreature is not supported", "temperature")),
        ({"token_type_ids": None}, ("token_type_ids is not supported",)),
        ({"generation_config": {"do_sample": True}}, ("expected a GenerationConfig",)),
    ],
    ids=str,
)
def test_an_argument_without_effect_is_one_clear_error(arguments: dict[str, Any], parts: tuple):
    assert_one_line(error_of(**arguments), *parts)


def test_a_copy_of_the_generation_config_is_accepted():
    # A pipeline of transformers 4 passes one, with the pad token of the tokenizer.
    given = config()
    given.pad_token_id = 0
    assert read(generation_config=given) == read()


def test_a_generation_config_with_other_values_is_one_clear_error():
    # `BarkModel.generate` drops it unread.
    error = error_of(generation_config=GenerationConfig(do_sample=True, max_new_tokens=5))
    assert_one_line(error, "generation_config sets", "model.generation_config")
    given = config()
    given.fine_acoustics_config["temperature"] = 0.1
    assert_one_line(error_of(generation_config=given), "sets fine_acoustics_config")


@pytest.mark.parametrize(
    ("part", "changes", "parts"),
    [
        ("semantic_config", {"semantic_vocab_size": 5}, ("['semantic_vocab_size'] is 5", "10000")),
        ("coarse_acoustics_config", {"sliding_window_len": 30}, ("is 30", "exported with 60")),
        ("semantic_config", {"num_beams": 4}, ("['num_beams'] is 4", "1 only")),
        ("semantic_config", {"min_eos_p": 0.2}, ("['min_eos_p'] is not supported",)),
        ("fine_acoustics_config", {"n_fine_codebooks": None}, ("is None", "exported with 8")),
    ],
)
def test_a_changed_generation_config_must_suit_the_graphs(
    part: str, changes: dict[str, Any], parts: tuple
):
    own = config()
    getattr(own, part).update(changes)
    assert_one_line(error_of(own), f"generation_config.{part}", *parts)


def test_a_generation_config_without_its_parts_is_one_clear_error():
    assert_one_line(error_of(GenerationConfig()), "generation_config.semantic_config is None")
    other = config()
    other.sample_rate = 16_000
    assert_one_line(error_of(other), "sample_rate is 16000", "24000")
