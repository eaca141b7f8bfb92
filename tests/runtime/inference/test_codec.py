"""Runs of the codec: frames behind an utterance and utterances beside it do not change it."""

import numpy as np
import pytest

from bark_onnx.runtime import Bark
from bark_onnx.runtime.inference.codec import FRAME_BUCKETS, bucket, run_codec

RNG = np.random.default_rng(0)


def _codes(frames: int) -> np.ndarray:
    return RNG.integers(0, 512, (frames, 8))


@pytest.fixture(scope="module")
def demo() -> Bark:
    return Bark.load("demo")


@pytest.mark.parametrize("frames", [16, 17, 63, 64, 200])
@pytest.mark.parametrize("name", ["random_bark", "demo"])
def test_padding_on_the_right_does_not_change_a_sample(
    request: pytest.FixtureRequest, name: str, frames: int
) -> None:
    bark, codes = request.getfixturevalue(name), _codes(frames)
    with bark._models.acquire("codec") as session:
        (exact,) = run_codec(session, [codes], padded=frames)
        for padded in (frames + 1, bucket(frames), 384):
            (found,) = run_codec(session, [codes], padded=padded)
            assert len(found) == frames * 320
            # The same products in another order: float32 rounds them differently.
            np.testing.assert_allclose(found, exact, atol=2e-6 * np.abs(exact).max(), rtol=0)


def test_utterances_of_one_run_do_not_change_each_other(demo: Bark) -> None:
    utterances = [_codes(frames) for frames in (40, 64, 16)]
    with demo._models.acquire("codec") as session:
        together = run_codec(session, utterances, padded=64)
        for codes, found in zip(utterances, together, strict=True):
            (alone,) = run_codec(session, [codes], padded=64)
            np.testing.assert_allclose(found, alone, atol=2e-6 * np.abs(alone).max(), rtol=0)


def test_every_length_has_a_bucket_that_holds_it() -> None:
    for frames in (*range(1, 2050), 2049, 4096, 4097):
        size = bucket(frames)
        assert frames <= size
        assert size in FRAME_BUCKETS or size % FRAME_BUCKETS[-1] == 0 or frames < 16
    assert [bucket(frames) for frames in (16, 64, 65, 1024, 4097)] == [64, 64, 128, 1024, 6144]


@pytest.mark.parametrize("frames", [1, 6, 7, 15])
def test_an_utterance_that_would_see_the_frames_behind_it_is_not_padded(frames: int) -> None:
    assert bucket(frames) == frames
