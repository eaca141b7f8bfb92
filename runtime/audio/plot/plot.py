"""Speech as a picture: waveform and mel spectrogram, with the pieces marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.bundle.atomic_write import atomic_write, wrap_os_errors
from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.files.paths import check_file_path, check_suffix
from bark_onnx.runtime.audio.plot.labels import crop, families, known_characters, legible
from bark_onnx.runtime.audio.plot.mel import HOP_SAMPLES, mel_edges_hz, mel_spectrogram
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timeline import SpeechTimeline

SUFFIXES = (".png", ".svg", ".pdf")

_WIDTH_INCHES, _HEIGHT_INCHES = 12.0, 6.0
_DOTS_PER_INCH = 120
_COLUMNS = 2400  # of waveform and spectrogram; more would not be seen
_PITCHES_HZ = (250, 500, 1000, 2000, 4000, 8000, 16000)
_MOST_LABELS = 40  # more would run into each other
_LEAST_COLUMNS = 6  # of a text worth showing
_COLUMN_INCHES = 0.07  # of a label, on average
_TITLE_COLUMNS = 110
_WAVE, _BOUNDARY, _INK = "#2a6f97", "#d1495b", "#333333"
_PALE = "#777777"
# What makes the same picture the same file: no date, no random identifiers.
_SAME_BYTES: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class _Span:
    """A piece on the axis of time."""

    start_seconds: float
    end_seconds: float
    label: str

    @classmethod
    def of(cls, speech: Speech, known: set[str]) -> "_Span":
        text = f"{speech.speaker}: {speech.text}" if speech.speaker else speech.text
        return cls(speech.start_seconds, speech.end_seconds, legible(text, known))


def check_plot_path(path: Path) -> None:
    """Check, before any work is done, that a picture can be drawn there.

    Raises:
        AudioError: matplotlib is missing, the suffix is unknown, or the folder takes no files.
    """
    check_suffix(path, SUFFIXES)
    check_file_path(path)
    try:
        import matplotlib as _  # noqa: F401, ICN001
    except ModuleNotFoundError as error:
        raise AudioError(
            "matplotlib is not installed; pictures need: pip install 'bark-onnx[plot]'"
        ) from error


def save_plot(path: Path, speeches: Sequence[Speech]) -> None:
    """Draw speeches, each where it is said, in the format that the suffix names: png, svg or pdf.

    Args:
        path: of the picture.
        speeches: at least one, all of one sample rate. Of their texts, what no font can show is
            left out.

    Raises:
        AudioError: the picture cannot be drawn there, or the speeches differ in rate.
    """
    check_plot_path(path)
    from matplotlib import rc_context, style

    known = known_characters()
    heading = _heading(speeches, known)
    suffix = path.suffix.lower()
    # The salt replaces random identifiers in svg; a dollar sign is one, and begins no formula.
    settings: dict[Any, Any] = {
        "svg.hashsalt": "bark-onnx",
        "font.family": families(),
        "text.parse_math": False,
    }
    unwritable = wrap_os_errors(AudioError, f"{path}: cannot be written")
    with style.context("default"), rc_context(settings), unwritable, atomic_write(path) as partial:
        figure = _draw(speeches, heading, known)
        figure.savefig(partial, format=suffix[1:], dpi=_DOTS_PER_INCH, metadata=_SAME_BYTES[suffix])


def _heading(speeches: Sequence[Speech], known: set[str]) -> tuple[str, str]:
    """The text, and how it was made."""
    first = speeches[0]
    provenance = first.provenance
    text = provenance.text if provenance and provenance.text else first.text
    facts = [f"{speeches[-1].end_seconds:.1f} s"]
    if len(speeches) > 1:
        facts.append(f"{len(speeches)} pieces")
    if first.voice_name and not first.speaker:
        facts.append(f"voice {first.voice_name}")
    if provenance is not None:
        facts += [
            f"seed {provenance.seed}",
            f"{provenance.bundle.source} in {provenance.bundle.precision}",
        ]
        facts.append(provenance.software)
    return crop(legible(text, known), _TITLE_COLUMNS), legible(", ".join(facts), known)


def _draw(speeches: Sequence[Speech], heading: tuple[str, str], known: set[str]) -> Any:
    from matplotlib.figure import Figure

    rate = speeches[0].sample_rate_hz
    track = SpeechTimeline(rate)
    samples = np.concatenate([*map(track.add, speeches), track.finish()])
    seconds = max(len(samples) / rate, 1e-3)
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
    wave, mel = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.7))
    figure.suptitle(heading[0], x=0.01, ha="left", fontsize=13, color=_INK)
    _draw_wave(wave, samples, rate)
    _draw_mel(figure, mel, samples, rate)
    mel.set_xlabel("time in seconds", color=_INK)
    figure.supxlabel(heading[1], x=0.99, ha="right", fontsize=8.5, color=_PALE)
    _mark(wave, mel, [_Span.of(speech, known) for speech in speeches], seconds)
    for axes in (wave, mel):
        axes.set_xlim(0, seconds)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK, labelsize=9)
    return figure


def _draw_wave(axes: Any, samples: NDArray[np.float32], rate: int) -> None:
    step = max(1, -(-len(samples) // _COLUMNS))
    padded = np.pad(samples, (0, -len(samples) % step)).reshape(-1, step)
    times = np.arange(len(padded)) * step / rate
    low, high = padded.min(axis=1, initial=0.0), padded.max(axis=1, initial=0.0)
    axes.fill_between(times, low, high, color=_WAVE, linewidth=0.4, edgecolor=_WAVE)
    axes.axhline(0, color=_INK, linewidth=0.4, alpha=0.5)
    axes.set_ylim(-1.05, 1.05)
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    axes.set_ylabel("amplitude", color=_INK)


def _draw_mel(figure: Any, axes: Any, samples: NDArray[np.float32], rate: int) -> None:
    hop = max(HOP_SAMPLES, -(-len(samples) // (4 * _COLUMNS)))
    decibels = mel_spectrogram(samples, rate, hop_samples=hop)
    bands, frames = decibels.shape
    image = axes.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-80,
        vmax=0,
        extent=(-hop / rate / 2, (frames - 0.5) * hop / rate, 0, bands),
    )
    peaks = mel_edges_hz(rate)[1:-1]
    shown = [pitch for pitch in _PITCHES_HZ if pitch < peaks[-1]]
    axes.set_yticks(np.interp(shown, peaks, np.arange(bands) + 0.5))
    axes.set_yticklabels(
        [f"{pitch / 1000:g} kHz" if pitch >= 1000 else f"{pitch} Hz" for pitch in shown]
    )
    axes.set_ylabel("pitch (mel scale)", color=_INK)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=30)
    bar.set_label("decibels below the loudest", color=_INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=_INK, labelsize=9)


def _mark(wave: Any, mel: Any, spans: Sequence[_Span], seconds: float) -> None:
    """A line where each piece begins, and above it its number and as much text as there is room."""
    if len(spans) < 2:
        return
    every = -(-len(spans) // _MOST_LABELS)
    line = {"color": _BOUNDARY, "linewidth": 0.8 if every == 1 else 0.4, "alpha": 0.8}
    room_inches = _WIDTH_INCHES * 0.84
    for number, span in enumerate(spans, 1):
        if number > 1:
            for axes in (wave, mel):
                axes.axvline(span.start_seconds, **line)
        if (number - 1) % every:
            continue
        inches = (span.end_seconds - span.start_seconds) / seconds * room_inches
        wave.annotate(
            _label(number, span.label, int(inches * every / _COLUMN_INCHES)),
            (span.start_seconds, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, 2),
            textcoords="offset points",
            fontsize=7.5,
            color=_BOUNDARY,
            annotation_clip=False,
        )


def _label(number: int, text: str, columns: int) -> str:
    left = columns - len(f"{number}  ")
    return f"{number} {crop(text, left)}" if text and left >= _LEAST_COLUMNS else str(number)
