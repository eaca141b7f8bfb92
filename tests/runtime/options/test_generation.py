"""What can be said about generation, and what it comes to."""

import dataclasses
from typing import Any

import pytest
from transformers import GenerationConfig
from transformers.models.bark.generation_configuration_bark import BarkSemanticGenerationConfig

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.inference.sampling import Sampling
from bark_onnx.runtime.options.generation import GenerationOptions, ResolvedOptions
from tests.support.messages import assert_one_line
from tests.support.sizes import SETTINGS, SHAPES

NAMES = [field.name for field in dataclasses.fields(GenerationOptions)]


def _resolve(**options: Any) -> ResolvedOptions:
    return GenerationOptions(**options).resolve(SETTINGS, SHAPES.semantic)


def _refused(words: list[str], **options: Any) -> None:
    for call in (
        lambda: GenerationOptions(**options).resolve(SETTINGS, SHAPES.semantic),
        lambda: GenerationOptions().replace(**options).resolve(SETTINGS, SHAPES.semantic),
    ):
        with pytest.raises(OptionsError) as caught:
            call()
        assert_one_line(caught.value, *words)


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith(("do_sample", "warped"))])
@pytest.mark.parametrize("value", [0, 1, "True", 0.5, []])
def test_do_sample_is_a_bool(name: str, value: object):
    _refused([name, repr(value), "expected True or False"], **{name: value})


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("temperature")])
@pytest.mark.parametrize(
    "value",
    [-0.1, -1, float("nan"), float("inf"), "0.7", True, [0.7], pytest.param(10**400, id="1e400")],
)
def test_a_temperature_is_a_finite_number_from_0(name: str, value: object):
    _refused([name, "expected a number"], **{name: value})


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("top_k")])
@pytest.mark.parametrize("value", [-1, 2.0, 0.5, "50", True, float("nan")])
def test_top_k_is_an_integer_from_0(name: str, value: object):
    _refused([name, repr(value), "expected an integer from 0"], **{name: value})


@pytest.mark.parametrize("name", [*(n for n in NAMES if n.endswith("top_p")), "min_eos_p"])
@pytest.mark.parametrize("value", [0, 0.0, -0.1, 1.0001, 2, float("nan"), float("inf"), "1", True])
def test_a_share_is_more_than_0_and_at_most_1(name: str, value: object):
    _refused([name, repr(value), "expected"], **{name: value})


@pytest.mark.parametrize("value", [0, -1, -768, 1.0, "100", True, float("inf")])
def test_a_length_is_an_integer_from_1(value: object):
    _refused(
        ["semantic_max_new_tokens", repr(value), "expected an integer from 1"],
        semantic_max_new_tokens=value,
    )


@pytest.mark.parametrize("value", [769, 1024, 10**9])
def test_a_length_over_what_the_context_holds_is_refused(value: int):
    _refused(
        ["semantic_max_new_tokens", str(value), "the context holds 768"],
        semantic_max_new_tokens=value,
    )


def test_the_longest_length_that_the_context_holds_is_accepted():
    assert _resolve(semantic_max_new_tokens=768).semantic_max_new_tokens == 768


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine"])
@pytest.mark.parametrize("zero", [0, 0.0])
def test_sampling_at_temperature_0_is_refused_and_greedy_at_0_is_not(stage: str, zero: float):
    words = [f"{stage}_temperature is 0", "expected more than 0", f"{stage}_do_sample=False"]
    _refused(words, **{f"{stage}_temperature": zero, f"{stage}_do_sample": True})
    _refused(words, **{f"{stage}_temperature": zero})
    greedy = _resolve(**{f"{stage}_temperature": zero, f"{stage}_do_sample": False})
    assert getattr(greedy, stage).do_sample is False


@pytest.mark.parametrize("value", [1e-40, 1e-50])
def test_a_temperature_that_logits_cannot_be_divided_by_is_refused(value: float):
    _refused(["semantic_temperature", "expected"], semantic_temperature=value)


@pytest.mark.parametrize(
    "name", ["colour", "max_new_tokens", "text_temperature", "semantic_", "semantic_min_eos", ""]
)
def test_an_unknown_name_is_refused_and_the_known_ones_are_listed(name: str):
    with pytest.raises(OptionsError) as caught:
        GenerationOptions().replace(**{name: 1})
    assert_one_line(caught.value, repr(name), "unknown", "expected one of", *NAMES)


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -1), ("top_k", -1), ("top_p", 0), ("do_sample", 1), ("semantic_min_eos_p", 0)],
)
def test_a_name_without_prefix_is_checked_too(name: str, value: object):
    with pytest.raises(OptionsError) as caught:
        GenerationOptions().replace(**{name: value})
    assert_one_line(caught.value, name.removeprefix("semantic_"), repr(value), "expected")


def test_nothing_said_means_the_checkpoint():
    defaults = Sampling(do_sample=True, temperature=0.7, top_k=50, top_p=1.0)
    fine = Sampling(do_sample=True, temperature=0.5, top_k=0, top_p=1.0)
    assert _resolve() == ResolvedOptions(defaults, 768, None, defaults, fine)


def test_what_is_said_reaches_its_stage_alone():
    resolved = _resolve(
        semantic_temperature=0.9,
        coarse_top_k=7,
        coarse_top_p=0.8,
        fine_temperature=0.3,
        semantic_max_new_tokens=10,
        min_eos_p=0.2,
    )
    assert resolved == ResolvedOptions(
        Sampling(True, 0.9, 50, 1.0),
        10,
        0.2,
        Sampling(True, 0.7, 7, 0.8),
        Sampling(True, 0.3, 0, 1.0),
    )


def test_a_name_without_prefix_sets_every_stage_that_has_it():
    options = GenerationOptions().replace(temperature=0.9, top_k=7, top_p=0.8)
    assert options == GenerationOptions(
        semantic_temperature=0.9,
        coarse_temperature=0.9,
        fine_temperature=0.9,
        semantic_top_k=7,
        coarse_top_k=7,
        semantic_top_p=0.8,
        coarse_top_p=0.8,
    )


def test_do_sample_without_prefix_does_not_reach_the_fine_stage():
    options = GenerationOptions().replace(do_sample=False)
    assert options == GenerationOptions(semantic_do_sample=False, coarse_do_sample=False)


@pytest.mark.parametrize("prefixed_first", [True, False])
def test_a_prefixed_name_wins_over_one_without(prefixed_first: bool):
    said = {
        "semantic_temperature": 0.1,
        "temperature": 0.9,
        "coarse_do_sample": True,
        "do_sample": False,
    }
    ordered = dict(said.items() if prefixed_first else reversed(said.items()))
    options = GenerationOptions().replace(**ordered)
    assert options.semantic_temperature == 0.1
    assert (options.coarse_temperature, options.fine_temperature) == (0.9, 0.9)
    assert (options.semantic_do_sample, options.coarse_do_sample) == (False, True)


def test_min_eos_p_has_a_prefixed_name_too_and_it_wins():
    assert GenerationOptions().replace(semantic_min_eos_p=0.2).min_eos_p == 0.2
    both = GenerationOptions().replace(min_eos_p=0.5, semantic_min_eos_p=0.2)
    assert both.min_eos_p == 0.2


def test_a_replaced_setting_leaves_the_others_and_the_original():
    options = GenerationOptions(semantic_top_k=3, coarse_top_k=4)
    assert options.replace(semantic_top_k=5) == GenerationOptions(semantic_top_k=5, coarse_top_k=4)
    assert options.replace(semantic_top_k=None) == GenerationOptions(coarse_top_k=4)
    assert options == GenerationOptions(semantic_top_k=3, coarse_top_k=4)


def test_suno_s_defaults_are_those_of_its_own_code():
    resolved = GenerationOptions.suno().resolve(SETTINGS, SHAPES.semantic)
    everywhere = Sampling(do_sample=True, temperature=0.7, top_k=0, top_p=1.0)
    fine = Sampling(do_sample=True, temperature=0.5, top_k=0, top_p=1.0)
    expected = ResolvedOptions(everywhere, 768, 0.2, everywhere, fine, min_eos_p_warped=True)
    assert resolved == expected
    # Suno's code samples at fine_temperature 1.0, where transformers takes the most probable code.
    wild = GenerationOptions.suno().replace(fine_temperature=1.0)
    assert wild.resolve(SETTINGS, SHAPES.semantic).fine.do_sample


def test_greedy_samples_nowhere():
    resolved = GenerationOptions.greedy().resolve(SETTINGS, SHAPES.semantic)
    stages = (resolved.semantic, resolved.coarse, resolved.fine)
    assert [stage.do_sample for stage in stages] == [False, False, False]
    assert resolved.min_eos_p is None


def test_a_fine_temperature_of_1_is_not_sampled_as_in_transformers():
    assert _resolve(fine_temperature=1.0).fine.do_sample is False
    assert _resolve(fine_temperature=1).fine.do_sample is False
    assert _resolve(fine_temperature=1.0, fine_do_sample=True).fine == Sampling(True, 1.0, 0, 1.0)
    assert _resolve(fine_temperature=0.99).fine.do_sample is True


def test_settings_have_the_names_of_transformers():
    known = {*vars(GenerationConfig()), *vars(BarkSemanticGenerationConfig())}
    sunos_own = {"min_eos_p_warped"}
    for name in set(NAMES) - sunos_own:
        stage, _, bare = name.partition("_")
        assert (name if stage not in ("semantic", "coarse", "fine") else bare) in known
