"""Whether speakers are distinguished by their embeddings."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def speakers(recognition):
    return recognition("speakers")


def embeddings(angle: float, spread: float, count: int = 8) -> list[np.ndarray]:
    """Vectors of length 1 around an angle."""
    angles = angle + spread * np.linspace(-1, 1, count)
    return [np.array([np.cos(each), np.sin(each)], np.float32) for each in angles]


def test_speakers_far_apart_are_distinguished(speakers):
    assert speakers.distinction({"a": embeddings(0, 0.2), "b": embeddings(1.5, 0.2)}) == 1


def test_speakers_that_overlap_are_distinguished_in_part(speakers):
    share = speakers.distinction({"a": embeddings(0, 0.3), "b": embeddings(0.3, 0.3)})
    assert 0.5 < share < 0.95


def test_one_voice_under_two_names_is_not_distinguished(speakers):
    same = np.array([1, 0], np.float32)
    assert speakers.distinction({"a": [same] * 3, "b": [same] * 3}) == 0.5


def test_utterances_are_compared_with_references(speakers):
    said = {"a": embeddings(0, 0.1), "b": embeddings(1.5, 0.1)}
    assert speakers.distinction(said, {"a": embeddings(0.2, 0.1), "b": embeddings(1.4, 0.1)}) == 1
    assert speakers.distinction(said, {"a": embeddings(1.4, 0.1), "b": embeddings(0.2, 0.1)}) == 0


@pytest.mark.parametrize("said", [{}, {"a": embeddings(0, 0.1)}, {"a": [], "b": []}])
def test_fewer_than_two_speakers_have_no_share(speakers, said):
    assert np.isnan(speakers.distinction(said))


def test_embedder_distinguishes_the_teachers(speakers, record):
    embedder = speakers.ResemblyzerEmbedder()
    texts = ("The train to London leaves at ten.", "Did you sleep well, my dear friend?")
    said = {
        voice: [embedder.embed(*record(voice, text)) for text in texts] for voice in ("slt", "rms")
    }
    assert speakers.distinction(said) == 1
    assert np.linalg.norm(said["slt"][0]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("count", [0, 100, 24_000])
def test_embedding_of_silence_is_finite(speakers, count):
    embedding = speakers.ResemblyzerEmbedder().embed(np.zeros(count, np.float32), 24_000)
    assert np.isfinite(embedding).all()
