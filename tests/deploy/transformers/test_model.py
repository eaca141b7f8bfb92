"""`BarkOnnxModel.generate` equals `BarkModel.generate`: tokens of each stage and row, samples."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import BarkProcessor, set_seed

from bark_onnx.graphs.errors import BarkError, ClosedError, OptionsError, VoiceError
from bark_onnx.runtime import Bark
from bark_onnx.transformers import BarkOnnxModel
from tests.deploy.transformers.conftest import TEXTS, Pair
from tests.support.messages import assert_one_line

GREEDY: dict[str, Any] = {"do_sample": False, "fine_temperature": None}
SHORT: dict[str, Any] = {**GREEDY, "semantic_max_new_tokens": 25}
VOICE = "v2/en_speaker_0"


def test_a_text_without_a_voice_equals_transformers(pair: Pair, processor: BarkProcessor):
    audio = pair.generate(**processor(TEXTS[0]), **GREEDY, semantic_max_new_tokens=60)
    assert audio.shape == (1, 90 * 320)
    assert audio.std() > 0.01


def test_a_voice_of_the_processor_is_continued_as_in_transformers(
    pair: Pair, processor: BarkProcessor
):
    inputs = processor(TEXTS[0], voice_preset=VOICE)
    audio = pair.generate(**inputs, **SHORT)
    inputs.pop("history_prompt")
    assert not torch.equal(audio, pair.onnx.generate(**inputs, **SHORT))


def test_a_batch_equals_transformers_in_every_row(pair: Pair, processor: BarkProcessor):
    audio = pair.generate(**processor(TEXTS[:2], voice_preset=VOICE), **SHORT)
    assert audio.shape[0] == 2


@pytest.mark.parametrize("voice", [None, VOICE])
def test_rows_that_end_early_go_on_to_the_longest_as_in_transformers(
    ending_pair: Pair, processor: BarkProcessor, voice: str | None
):
    inputs = processor(TEXTS, voice_preset=voice)
    audio = ending_pair.generate(**inputs, **GREEDY, semantic_max_new_tokens=150)
    trimmed, lengths = ending_pair.generate(
        **inputs, **GREEDY, semantic_max_new_tokens=150, return_output_lengths=True
    )
    assert len(set(lengths)) > 1
    assert audio.shape == trimmed.shape == (3, max(lengths))
    shortest = int(np.argmin(lengths))
    assert audio[shortest, lengths[shortest] :].abs().max() > 0
    assert trimmed[shortest, lengths[shortest] :].abs().max() == 0


def test_longer_ids_are_truncated_as_in_transformers(pair: Pair, processor: BarkProcessor):
    inputs = processor("abcdefgh " * 40, max_length=300)
    assert inputs["input_ids"].shape[1] > 256
    pair.generate(**inputs, **SHORT)


def test_shorter_ids_equal_padded_ones(model: BarkOnnxModel, processor: BarkProcessor):
    padded = processor(TEXTS[1])
    short = processor.tokenizer(TEXTS[1], add_special_tokens=False, return_tensors="pt")
    assert short["input_ids"].shape[1] < 256
    found = model.generate(short["input_ids"], **SHORT)
    torch.testing.assert_close(found, model.generate(**padded, **SHORT), atol=0, rtol=0)


def test_ids_without_a_mask_are_all_read_as_in_transformers(pair: Pair, processor: BarkProcessor):
    inputs = processor(TEXTS[0])
    audio = pair.generate(inputs["input_ids"], **SHORT)
    assert not torch.equal(audio, pair.onnx.generate(**inputs, **SHORT))


def test_a_mask_with_gaps_is_applied_as_in_transformers(pair: Pair, processor: BarkProcessor):
    inputs = processor(TEXTS[0])
    inputs["attention_mask"][0, ::3] = 0
    pair.generate(**inputs, **SHORT)


@pytest.mark.parametrize(
    "arguments",
    [
        {"do_sample": False, "temperature": 1.0},
        {"do_sample": True, "semantic_do_sample": False, "coarse_do_sample": False},
        {"semantic_do_sample": None, "coarse_do_sample": None},
        {"do_sample": False, "num_beams": 1, "use_cache": True, "output_scores": False},
        {"do_sample": False, "min_eos_p": 0.0007},
        {"do_sample": False, "semantic_min_eos_p": 0.0007},
        {"do_sample": False, "pad_token_id": 10_000},
    ],
    ids=str,
)
def test_arguments_mean_what_they_mean_in_transformers(
    pair: Pair, processor: BarkProcessor, arguments: dict[str, Any]
):
    pair.generate(
        **processor(TEXTS[:2]), fine_temperature=None, semantic_max_new_tokens=25, **arguments
    )


@pytest.mark.skipif(transformers.__version__ < "5", reason="BarkModel of transformers 4 fails")
def test_return_dict_in_generate_has_no_effect_as_in_transformers(
    pair: Pair, processor: BarkProcessor
):
    pair.generate(**processor(TEXTS[1]), **SHORT, return_dict_in_generate=True)


def test_a_changed_generation_config_is_read_as_in_transformers(
    model: BarkOnnxModel, pair: Pair, processor: BarkProcessor, monkeypatch: pytest.MonkeyPatch
):
    for each in (model, pair.torch):
        config = each.generation_config
        monkeypatch.setitem(config.semantic_config, "do_sample", False)
        monkeypatch.setitem(config.semantic_config, "max_new_tokens", 20)
        monkeypatch.setitem(config.coarse_acoustics_config, "do_sample", False)
        monkeypatch.setitem(config.fine_acoustics_config, "temperature", 1.0)
    audio = Pair(model, pair.reference).generate(**processor(TEXTS[0]))
    assert audio.shape == (1, 30 * 320)


def test_seeds_of_pytorch_repeat_what_is_sampled(model: BarkOnnxModel, processor: BarkProcessor):
    inputs = processor(TEXTS[:1] * 2)
    sampled = []
    for seed in (1, 1, 2):
        set_seed(seed)
        sampled.append(model.generate(**inputs, semantic_max_new_tokens=20))
    torch.testing.assert_close(sampled[0], sampled[1], atol=0, rtol=0)
    assert not torch.equal(sampled[0], sampled[2])
    assert not torch.equal(sampled[0][0], sampled[0][1])


def test_greedy_decoding_draws_nothing_from_pytorch(model: BarkOnnxModel, processor: BarkProcessor):
    before = torch.get_rng_state()
    model.generate(**processor(TEXTS[0]), **SHORT)
    assert torch.equal(before, torch.get_rng_state())


def test_an_empty_utterance_has_no_samples(model: BarkOnnxModel, processor: BarkProcessor):
    audio = model.generate(**processor(TEXTS[:2]), **GREEDY, min_eos_p=1e-30)
    assert audio.shape == (2, 0)


# The bundle alone


def test_the_processor_of_a_bundle_gives_the_ids_of_the_checkpoint(
    model: BarkOnnxModel, processor: BarkProcessor
):
    texts = [*TEXTS, "Ça va? [laughs]"]
    found, expected = model.processor()(texts), processor(texts)
    for key in ("input_ids", "attention_mask"):
        assert torch.equal(found[key], expected[key])


def test_a_voice_of_the_bundle_equals_that_of_the_checkpoint(
    model: BarkOnnxModel, processor: BarkProcessor
):
    found = model.processor()("a", voice_preset=model.voice_preset("english-0"))["history_prompt"]
    expected = processor("a", voice_preset=VOICE)["history_prompt"]
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert torch.equal(found[key], array)


def test_one_row_equals_bark_speak(model: BarkOnnxModel, random_bark: Bark):
    audio = model.generate(**model.processor()(TEXTS[0]), **SHORT)
    speech = random_bark.speak(
        TEXTS[0], **{**SHORT, "fine_temperature": 1.0}, coarse_temperature=0.7
    )
    np.testing.assert_allclose(audio[0].numpy(), speech.samples, atol=1e-4, rtol=0)


def test_the_model_describes_itself(model: BarkOnnxModel):
    assert repr(model).startswith("BarkOnnxModel('")
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.can_generate()
    assert list(model.parameters()) == []


# Errors


def error_of(model: BarkOnnxModel, inputs: Any, **changes: Any) -> BarkError:
    with pytest.raises(BarkError) as caught:
        model.generate(**{**inputs, **SHORT, **changes})
    return caught.value


def test_inputs_that_do_not_fit_are_one_clear_error(model: BarkOnnxModel, processor: BarkProcessor):
    inputs = dict(processor(TEXTS[0]))
    ids = inputs["input_ids"]
    assert_one_line(error_of(model, inputs, input_ids=ids.float()), "input_ids", "integers")
    assert_one_line(error_of(model, inputs, input_ids=None), "input_ids", "NoneType")
    assert_one_line(error_of(model, inputs, input_ids=ids[0]), "input_ids", "(batch, n)")
    assert_one_line(error_of(model, inputs, input_ids=ids[:0]), "(0, 256)", "at least one")
    assert_one_line(error_of(model, inputs, attention_mask=ids[:, :9]), "(1, 9)", "(1, 256)")
    assert_one_line(
        error_of(model, inputs, input_ids=ids + 5000), "the value 5", "expected 0 to 160"
    )
    assert_one_line(
        error_of(model, inputs, input_ids=ids - 5000), "the value -4", "expected 0 to 160"
    )


def test_a_voice_that_does_not_fit_is_one_clear_error(
    model: BarkOnnxModel, processor: BarkProcessor
):
    inputs = dict(processor(TEXTS[0], voice_preset=VOICE))
    voice = inputs["history_prompt"]
    listed = error_of(model, inputs, history_prompt=[voice])
    assert isinstance(listed, VoiceError)
    assert_one_line(listed, "history_prompt", "list", "one voice for all texts")
    partial = {"semantic_prompt": voice["semantic_prompt"]}
    assert_one_line(error_of(model, inputs, history_prompt=partial), "coarse_prompt", "missing")
    wrong = {**voice, "semantic_prompt": voice["semantic_prompt"] + 10_000}
    assert_one_line(error_of(model, inputs, history_prompt=wrong), "semantic_prompt", "10000")


def test_the_model_is_neither_moved_nor_converted(model: BarkOnnxModel):
    assert model.eval().to("cpu").to(torch.float32).to(device=torch.device("cpu")) is model
    with pytest.raises(OptionsError) as moved:
        model.to("meta")
    assert_one_line(moved.value, "runs on cpu", "meta", "from_bundle")
    with pytest.raises(OptionsError) as converted:
        model.to(torch.float16)
    assert_one_line(converted.value, "torch.float16", "from_bundle")
    with pytest.raises(OptionsError) as halved:
        model.half()
    assert_one_line(halved.value, "converted", "from_bundle")


def test_a_closed_model_generates_nothing(model: BarkOnnxModel, processor: BarkProcessor):
    model.close()
    with pytest.raises(ClosedError):
        model.generate(**processor(TEXTS[0]), **SHORT)


def test_a_bundle_that_is_missing_is_one_clear_error(tmp_path):
    with pytest.raises(BarkError) as caught:
        BarkOnnxModel.from_bundle(tmp_path / "nothing")
    assert_one_line(caught.value, "nothing")


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_a_missing_package_is_named_with_its_extra(missing: str):
    code = f"import sys; sys.modules[{missing!r}] = None; import bark_onnx.transformers"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert f"{missing} is not installed; bark_onnx.transformers needs: pip install" in last
    assert "[transformers,cpu]" in last
