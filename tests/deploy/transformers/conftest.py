"""A `BarkOnnxModel`, and `BarkModel` on the same checkpoint."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BarkModel, BarkProcessor

from bark_onnx.runtime import Speech
from bark_onnx.transformers import BarkOnnxModel
from tests.support.fixtures import CachedReference
from tests.support.reference import Reference

TEXTS = ["Hello, my dog is cute", "b c d", "Hi"]


@dataclass(frozen=True)
class Pair:
    """The two models of one checkpoint, of which `generate` calls both."""

    onnx: BarkOnnxModel
    reference: Reference

    @property
    def torch(self) -> BarkModel:
        return self.reference.model

    def generate(self, *arguments: Any, **kwargs: Any) -> Any:
        """The result of the ONNX model, whose tokens and samples equal those of `BarkModel`."""
        speeches: list[Speech] = []
        bark = self.onnx._bark
        generate_batch = type(bark).generate_batch

        def watched(*rows: Any, **options: Any) -> list[Speech]:
            speeches.extend(generate_batch(bark, *rows, **options))
            return speeches

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(bark, "generate_batch", watched)
            found = self.onnx.generate(*arguments, **kwargs)
        with torch.no_grad():
            expected = self.torch.generate(*arguments, **kwargs)
        self._check_tokens(speeches)
        if kwargs.get("return_output_lengths"):
            assert found[1] == expected[1]
            assert_close(found[0], expected[0])
        else:
            assert_close(found, expected)
        return found

    def _check_tokens(self, speeches: list[Speech]) -> None:
        config, tokens = self.torch.generation_config, self.reference.tokens
        end = config.semantic_config["semantic_vocab_size"]
        assert len(tokens["semantic"]) == len(speeches)
        for row, speech in enumerate(speeches):
            semantic = tokens["semantic"][row].numpy()
            np.testing.assert_array_equal(speech.semantic_tokens, semantic[semantic < end])
            coarse = tokens["coarse_acoustics"][row].numpy().reshape(-1, 2).T
            np.testing.assert_array_equal(speech.coarse_tokens, (coarse - end) % 1024)
            fine = tokens["fine_acoustics"][row].numpy()
            np.testing.assert_array_equal(speech.fine_tokens, fine)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def pair(
    request: pytest.FixtureRequest, provider: str, random_reference: CachedReference
) -> Iterator[Pair]:
    """The random checkpoint, in the form of attention that is exact on the provider."""
    name = "random_bundle" if provider == "cpu" else "standard_bundle"
    model = BarkOnnxModel.from_bundle(request.getfixturevalue(name), provider=provider)
    yield Pair(model, random_reference.reference)
    model.close()


@pytest.fixture(scope="module")
def ending_pair(
    ending_bundle: Callable[[str], Path], provider: str, ending_reference: CachedReference
) -> Iterator[Pair]:
    """Models whose utterances soon end by themselves."""
    bundle = ending_bundle("fused" if provider == "cpu" else "standard")
    model = BarkOnnxModel.from_bundle(bundle, provider=provider, max_batch_size=2)
    yield Pair(model, ending_reference.reference)
    model.close()


@pytest.fixture
def model(random_bundle: Path) -> Iterator[BarkOnnxModel]:
    """A model that a test may change."""
    model = BarkOnnxModel.from_bundle(random_bundle, provider="cpu")
    yield model
    model.close()


@pytest.fixture(scope="session")
def processor(random_checkpoint: Path) -> BarkProcessor:
    return BarkProcessor.from_pretrained(random_checkpoint)
