"""bark-onnx speak: its settings reach the model, or are refused."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest

import bark_onnx.runtime.cli.command as cli
from bark_onnx.runtime import GenerationOptions, StreamOptions
from bark_onnx.runtime.cli.options.output import OutputOptions
from bark_onnx.runtime.cli.options.suno_compat import SUNO_NAMES
from tests.support.command import Run, assert_fails, output_of
from tests.support.fake_bark import FakeBark

VALUES = {bool: None, int: 7, float: 0.25}
KINDS = {
    name: typing.get_args(kind)[0]
    for name, kind in typing.get_type_hints(GenerationOptions).items()
    if name != "return"
}


def options_of(run: Run, fake: type[FakeBark], *arguments: object) -> GenerationOptions:
    fake.planned.clear()
    output_of(run("speak", "Hello", "-m", "bundle", *arguments))
    return typing.cast(GenerationOptions, fake.planned[0][1]["options"])


def test_defaults_are_those_of_the_checkpoint(run: Run, fake: type[FakeBark]) -> None:
    assert options_of(run, fake) == GenerationOptions()
    assert fake.loaded == [
        (
            "bundle",
            {**fake.loaded[0][1], "provider": "auto", "precision": None, "threads": None},
        )
    ]
    assert not fake.loaded[0][1]["low_memory"]
    assert fake.planned[0][1]["voice"] is None
    first = fake.planned[0][1]["seed"]
    options_of(run, fake)
    assert fake.planned[-1][1]["seed"] != first, "the seed is not random"


@pytest.mark.parametrize("name", KINDS)
def test_every_generation_option_reaches_the_model(
    run: Run, fake: type[FakeBark], name: str
) -> None:
    flag = name.replace("_", "-")
    if KINDS[name] is bool:
        on, off = (options_of(run, fake, f"--{prefix}{flag}") for prefix in ("", "no-"))
        assert on == GenerationOptions(**{name: True})
        assert off == GenerationOptions(**{name: False})
    else:
        value = VALUES[KINDS[name]]
        found = options_of(run, fake, f"--{flag}", value)
        assert found == GenerationOptions(**{name: value})


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (
            ("--temperature", 0.5),
            {"semantic_temperature": 0.5, "coarse_temperature": 0.5, "fine_temperature": 0.5},
        ),
        (("--top-k", 9), {"semantic_top_k": 9, "coarse_top_k": 9}),
        (("--top-p", 0.5), {"semantic_top_p": 0.5, "coarse_top_p": 0.5}),
        (("--no-do-sample",), {"semantic_do_sample": False, "coarse_do_sample": False}),
        (("--do-sample",), {"semantic_do_sample": True, "coarse_do_sample": True}),
        (("--top-k", 9, "--coarse-top-k", 0), {"semantic_top_k": 9, "coarse_top_k": 0}),
    ],
)
def test_option_without_prefix_sets_every_stage_that_has_it(
    run: Run, fake: type[FakeBark], arguments: tuple[object, ...], changed: dict[str, Any]
) -> None:
    assert options_of(run, fake, *arguments) == GenerationOptions(**changed)


def test_single_options_override_a_sampling_preset(run: Run, fake: type[FakeBark]) -> None:
    assert options_of(run, fake, "--sampling", "suno") == GenerationOptions.suno()
    found = options_of(run, fake, "--sampling", "suno", "--no-min-eos-p-warped", "--top-k", 3)
    assert found == GenerationOptions.suno().replace(min_eos_p_warped=False, top_k=3)
    assert options_of(run, fake, "--sampling", "transformers") == GenerationOptions()


def test_greedy_is_a_sampling_preset(run: Run, fake: type[FakeBark]) -> None:
    assert options_of(run, fake, "--greedy") == GenerationOptions.greedy()
    assert options_of(run, fake, "--sampling", "greedy") == GenerationOptions.greedy()
    found = options_of(run, fake, "--greedy", "--semantic-max-new-tokens", 12)
    assert found == GenerationOptions.greedy().replace(semantic_max_new_tokens=12)


def test_every_other_option_reaches_the_model(run: Run, fake: type[FakeBark]) -> None:
    options_of(
        run,
        fake,
        *("--voice", "v2/x", "--seed", 12, "--provider", "cpu", "--precision", "int8"),
        *("--threads", 3, "--low-memory"),
    )
    settings = fake.loaded[0][1]
    assert settings["provider"] == "cpu"
    assert settings["precision"] == "int8"
    assert settings["threads"] == 3
    assert settings["low_memory"] is True
    assert settings["wait"] is False
    assert (fake.planned[0][1]["voice"], fake.planned[0][1]["seed"]) == ("v2/x", 12)


def test_every_option_is_tested() -> None:
    known = {
        *("text", "bundle", "file", "voice", "seed", "sampling", "greedy", "provider"),
        *("precision", "threads", "low_memory", "temperature", "top_k", "top_p", "do_sample"),
        *("speakers", "save_voice"),
        *(
            field.name
            for kind in (StreamOptions, OutputOptions)
            for field in dataclasses.fields(kind)
        ),
        *(f"suno_{name}" for name in SUNO_NAMES),
        *KINDS,
    }
    assert {option.name for option in cli.speak.params} == known


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--semantic-temperature", -1), 1, ("--semantic-temperature", "-1", "from 0")),
        (("--top-p", 0), 1, ("bark-onnx: --top-p is 0", "more than 0")),
        (("--semantic-top-p", 0, "--top-p", 1), 1, (": --semantic-top-p is 0", "more than 0")),
        (("--top-k", "many"), 2, ("--top-k", "'many'", "--help")),
        (("--temperature", "nan"), 1, (": --temperature is nan", "expected a number")),
        (("--semantic-max-new-tokens", 0), 1, ("--semantic-max-new-tokens", "0", "from 1")),
        (("--provider", "tpu"), 2, ("--provider", "'tpu'", "auto", "cpu")),
        (("--seed", "x"), 2, ("--seed", "'x'", "--help")),
        (("--loudness", 3), 2, ("--loudness", "--help")),
    ],
)
def test_option_out_of_range_is_refused_before_the_model_loads(
    run: Run,
    fake: type[FakeBark],
    arguments: tuple[object, ...],
    status: int,
    words: tuple[str, ...],
) -> None:
    assert_fails(run("speak", "Hello", "-m", "bundle", *arguments), status, *words)
    assert not fake.loaded


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seed", -1), ("seed is -1", "from 0")),
        (("--threads", 0), ("threads is 0", "from 1")),
        (("--precision", "int3"), ("int3", "fp32")),
        (("--temperature", 0), (": --temperature is 0", "more than 0", "--greedy")),
        (("--coarse-temperature", 0), (": --coarse-temperature is 0", "--no-coarse-do-sample")),
        (("--semantic-max-new-tokens", 5000), ("5000", "context holds")),
        (("--voice", "v2/en_speaker_1"), ("v2/en_speaker_1", "nearest", "bark-onnx voices")),
        (("--voice", "me.npz"), ("me.npz", "no such file")),
    ],
)
def test_option_that_the_bundle_does_not_support_is_refused(
    run: Run,
    random_bundle: Path,
    tmp_path: Path,
    arguments: tuple[object, ...],
    words: tuple[str, ...],
) -> None:
    assert_fails(run("speak", "Hello", "-m", random_bundle, *arguments), 1, *words)
    assert list(tmp_path.iterdir()) == []
