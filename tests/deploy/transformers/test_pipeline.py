"""`pipeline("text-to-speech")` with a `BarkOnnxModel` gives what it gives with a `BarkModel`."""

from typing import Any

import numpy as np
import pytest
import transformers
from transformers import BarkProcessor, pipeline

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.transformers import BarkOnnxModel
from tests.deploy.transformers.conftest import TEXTS, Pair
from tests.support.messages import assert_one_line

GREEDY = {"do_sample": False, "fine_temperature": None, "semantic_max_new_tokens": 25}


def pipes(pair: Pair, processor: BarkProcessor, **options: Any) -> list[Any]:
    """The same pipeline twice, with one model each."""
    return [
        pipeline(
            "text-to-speech",
            model=model,
            tokenizer=processor.tokenizer,
            processor=processor,
            device=pair.onnx.device,
            **options,
        )
        for model in (pair.onnx, pair.torch)
    ]


def assert_equal(found: Any, expected: Any) -> None:
    assert found["sampling_rate"] == expected["sampling_rate"] == 24_000
    assert found["audio"].shape == expected["audio"].shape
    assert found["audio"].size > 0
    np.testing.assert_allclose(found["audio"], expected["audio"], atol=1e-4, rtol=0)


def test_a_text_gives_the_same_audio(pair: Pair, processor: BarkProcessor):
    found, expected = (pipe(TEXTS[0], forward_params=GREEDY) for pipe in pipes(pair, processor))
    assert_equal(found, expected)


def test_the_task_has_a_second_name(pair: Pair, processor: BarkProcessor):
    pipe = pipeline(
        "text-to-audio",
        model=pair.onnx,
        tokenizer=processor.tokenizer,
        processor=processor,
        device=pair.onnx.device,
    )
    assert pipe.model is pair.onnx


def test_generate_kwargs_take_precedence_over_forward_params(pair: Pair, processor: BarkProcessor):
    arguments = {
        "forward_params": {**GREEDY, "semantic_max_new_tokens": 5},
        "generate_kwargs": {"semantic_max_new_tokens": 10},
    }
    found, expected = (pipe(TEXTS[0], **arguments) for pipe in pipes(pair, processor))
    assert_equal(found, expected)
    assert found["audio"].size == 15 * 320


def test_a_list_of_texts_gives_the_same_list(pair: Pair, processor: BarkProcessor):
    found, expected = (pipe(TEXTS, forward_params=GREEDY) for pipe in pipes(pair, processor))
    assert len(found) == len(TEXTS)
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)


def test_batches_of_texts_give_the_same_list(ending_pair: Pair, processor: BarkProcessor):
    arguments = {"batch_size": 2, "forward_params": {**GREEDY, "semantic_max_new_tokens": 150}}
    found, expected = (pipe(TEXTS, **arguments) for pipe in pipes(ending_pair, processor))
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)


def test_a_voice_is_passed_on(pair: Pair, processor: BarkProcessor):
    voice = dict(processor("a", voice_preset="v2/en_speaker_0")["history_prompt"])
    arguments = {"forward_params": {**GREEDY, "history_prompt": voice}}
    both = pipes(pair, processor)
    found, expected = (pipe(TEXTS[0], **arguments) for pipe in both)
    assert_equal(found, expected)
    assert not np.array_equal(found["audio"], both[0](TEXTS[0], forward_params=GREEDY)["audio"])


@pytest.mark.skipif(
    transformers.__version__ < "5", reason="transformers 4 uses the tokenizer alone"
)
def test_the_processor_of_the_pipeline_takes_a_voice(pair: Pair, processor: BarkProcessor):
    arguments = {
        "forward_params": GREEDY,
        "preprocess_params": {"voice_preset": pair.onnx.voice_preset("v2/en_speaker_0")},
    }
    found, expected = (pipe(TEXTS[0], **arguments) for pipe in pipes(pair, processor))
    assert_equal(found, expected)


def test_a_bundle_alone_is_enough_for_a_pipeline(model: BarkOnnxModel):
    processor = model.processor()
    pipe = pipeline(
        "text-to-speech",
        model=model,
        tokenizer=processor.tokenizer,
        processor=processor,
        device="cpu",
    )
    transformers.set_seed(0)
    first = pipe(TEXTS[0], forward_params={"semantic_max_new_tokens": 10})
    transformers.set_seed(0)
    again = pipe(TEXTS[0], forward_params={"semantic_max_new_tokens": 10})
    np.testing.assert_array_equal(first["audio"], again["audio"])
    assert first["audio"].size == 15 * 320


def test_an_unsupported_argument_of_a_call_is_one_clear_error(pair: Pair, processor: BarkProcessor):
    pipe = pipes(pair, processor)[0]
    with pytest.raises(OptionsError) as caught:
        pipe(TEXTS[0], forward_params={"num_beams": 4})
    assert_one_line(caught.value, "num_beams is 4")


def test_a_pipeline_on_another_device_is_one_clear_error(
    model: BarkOnnxModel, processor: BarkProcessor
):
    with pytest.raises(OptionsError) as caught:
        pipeline("text-to-speech", model=model, tokenizer=processor.tokenizer, device="meta")
    assert_one_line(caught.value, "runs on cpu", 'device="cpu"')
