"""Figures of utterances, next to the teacher's recordings."""

import numpy as np
import pytest

from tests.benchmarks.test_pitch import RATE, tone


class Listing:
    """A recognizer that answers from a list."""

    name = "listing"

    def __init__(self, *texts: str) -> None:
        self._texts = iter(texts)

    def recognize(self, samples: np.ndarray, rate: int) -> str:
        return next(self._texts)


class Loudness:
    """An embedder that knows a speaker by the level."""

    def embed(self, samples: np.ndarray, rate: int) -> np.ndarray:
        angle = min(1.5, 10 * float(np.std(samples)))
        return np.array([np.cos(angle), np.sin(angle)], np.float32)


@pytest.fixture
def figures(recognition):
    """Measures of two utterances and of their teachers' recordings."""
    make, measures = recognition("utterances").Utterance, recognition("measures")
    said = [
        make("Good night.", "a", tone(150), RATE, taken_seconds=0.7, ended=True),
        make("The dog is warm.", "b", 0.1 * tone(104, 1.8), RATE, taken_seconds=1.1, ended=False),
    ]
    taught = [
        make("Good night.", "a", tone(150 * 2 ** (20 / 1200)), RATE),
        make("The dog is warm.", "b", 0.1 * tone(104 * 2 ** (20 / 1200)), RATE),
    ]
    rows = measures.measure(said, [Listing("good night", "the fog is")], Loudness(), "test")
    others = measures.measure(taught, [Listing("good night", "")], Loudness(), "test")
    return measures, rows, others


def test_figures_sum_up_the_utterances(figures):
    measures, rows, others = figures
    found = measures.summarize("bundle", rows, others)
    assert found.utterances == 2
    assert found.word_error_rates["listing"].percent == pytest.approx(100 * 2 / 6)
    assert found.ended_share == 0.5
    assert found.real_time_factor == pytest.approx(1.8 / (1.4 + 2.2))
    assert found.length_ratio == pytest.approx((1 + 1.8) / 2, abs=0.05)
    assert found.similar_length_share == 0.5
    assert found.pitch_cents == pytest.approx(20, abs=8)
    assert found.semitone_share > 0.95
    assert found.voiced_frames > 100


def test_recordings_have_no_figures_of_generation(figures):
    measures, _, others = figures
    found = measures.summarize("teacher", others, [None, None])
    assert found.word_error_rates["listing"].percent == pytest.approx(100 * 4 / 6)
    assert found.hum is not None
    assert found.ended_share is None
    assert found.real_time_factor is None
    assert found.length_ratio is None
    assert found.pitch_cents is None


def test_embeddings_are_grouped_by_voice(figures):
    measures, rows, _ = figures
    speakers = measures.embeddings_by_speaker([*rows, rows[0]])
    assert {name: len(found) for name, found in speakers.items()} == {"a": 2, "b": 1}


def test_report_begins_with_the_worst(figures, recognition, tmp_path):
    _, rows, _ = figures
    recognition("report").keep(tmp_path, rows)
    report = (tmp_path / "report.txt").read_text()
    assert report.index("The dog is warm.") < report.index("Good night.")
    assert "b, 2.2 s, cut" in report
    assert "(2 of 4)" in report
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["0000.wav", "0001.wav"]


def test_table_leaves_cells_empty_that_have_no_figure(figures, recognition):
    measures, rows, others = figures
    report = recognition("report")
    both = [
        measures.summarize("bundle", rows, others),
        measures.summarize("teacher", others, [None, None]),
    ]
    header, bundle, teacher = report.table(both, report.SENTENCE_COLUMNS)
    assert "listing WER %" in header
    assert "50.0%" in bundle
    assert "%" not in teacher
    assert len(header) == len(bundle) == len(teacher)
