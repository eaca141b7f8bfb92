"""Speech as a picture: waveform and spectrogram, with segments marked. Needs the extra [plot]."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.errors import AudioError
from bark_onnx.graphs.files.atomic_write import atomic_write, wrap_os_errors
from bark_onnx.graphs.installation import install_command
from bark_onnx.runtime.audio.files.paths import check_file_path, check_suffix
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timeline import SpeechTimeline
from bark_onnx.runtime.text.terminal import one_line

SUFFIXES = (".png", ".svg", ".pdf")

_WIDTH_INCHES, _HEIGHT_INCHES = 12.0, 6.0
_DOTS_PER_INCH = 120
_COLUMNS = 2400  # of waveform and spectrogram; more would not be visible
_FFT_SAMPLES, _HOP_SAMPLES = 1024, 256
_FLOOR_DB = -80.0  # below the loudest
_MAX_NUMBERS = 40  # of segments; more would overlap
_WAVE, _BOUNDARY, _INK = "#2a6f97", "#d1495b", "#333333"
# The same picture is the same file: no date, no random identifiers.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# The salt replaces random identifiers in svg; a dollar sign in a name begins no formula.
_STYLE: dict[Any, Any] = {"svg.hashsalt": "bark-onnx", "text.parse_math": False}


def check_plot_path(path: Path) -> None:
    """Check, before any work is done, that a picture can be drawn.

    Raises:
        AudioError: matplotlib is missing, the suffix is unknown, or the folder is missing or
            write-protected.
    """
    check_suffix(path, SUFFIXES)
    check_file_path(path)
    try:
        import matplotlib as _  # noqa: F401, ICN001
    except ModuleNotFoundError as error:
        raise AudioError(
            f"matplotlib is not installed; pictures need: {install_command('plot')}"
        ) from error


def save_plot(path: Path, speeches: Sequence[Speech]) -> None:
    """Draw speeches in the format of the suffix: png, svg or pdf.

    Args:
        path: Path of the picture.
        speeches: At least one speech, all of one sample rate.

    Raises:
        AudioError: The picture cannot be written, or the sample rates differ.
    """
    check_plot_path(path)
    from matplotlib import rc_context, style

    suffix = path.suffix.lower()
    os_errors = wrap_os_errors(AudioError, f"{path}: cannot be written")
    with (
        style.context("default"),
        rc_context(_STYLE),
        os_errors,
        atomic_write(path) as file,
    ):
        figure = _draw(speeches)
        figure.savefig(file, format=suffix[1:], dpi=_DOTS_PER_INCH, metadata=_METADATA[suffix])


def _heading(speeches: Sequence[Speech]) -> str:
    first = speeches[0]
    facts = [f"{speeches[-1].end_seconds:.1f} s"]
    if len(speeches) > 1:
        facts.append(f"{len(speeches)} segments")
    if first.voice_name and not first.speaker:
        facts.append(f"voice {first.voice_name}")
    provenance = first.provenance
    if provenance is not None:
        bundle = provenance.bundle
        facts += [f"seed {provenance.seed}", f"{bundle.source} in {bundle.precision}"]
    return _with_glyphs(one_line(", ".join(facts)))


def _with_glyphs(text: str) -> str:
    """Text with an ellipsis in place of characters that the font lacks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    known = [character if font.get_char_index(ord(character)) else "\0" for character in text]
    return re.sub("\0+", "…", "".join(known))


def _draw(speeches: Sequence[Speech]) -> Any:
    from matplotlib.figure import Figure

    rate = speeches[0].sample_rate_hz
    timeline = SpeechTimeline(rate)
    samples = np.concatenate([*map(timeline.add, speeches), timeline.finish()])
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
    wave, spectrogram = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.7))
    figure.suptitle(_heading(speeches), x=0.01, ha="left", fontsize=11, color=_INK)
    _draw_wave(wave, samples, rate)
    _draw_spectrogram(figure, spectrogram, samples, rate)
    spectrogram.set_xlabel("time in seconds", color=_INK)
    _mark((wave, spectrogram), [speech.start_seconds for speech in speeches])
    for axes in (wave, spectrogram):
        axes.set_xlim(0, max(len(samples) / rate, 1e-3))
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
    for level, is_beyond in ((1.0, high > 1), (-1.0, low < -1)):  # the file clips these
        levels = np.full(np.count_nonzero(is_beyond), level)
        axes.plot(times[is_beyond], levels, "|", color=_BOUNDARY)
    axes.set_ylim(-1.05, 1.05)
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    axes.set_ylabel("amplitude", color=_INK)


def _draw_spectrogram(figure: Any, axes: Any, samples: NDArray[np.float32], rate: int) -> None:
    from matplotlib.mlab import specgram

    hop = min(_FFT_SAMPLES, max(_HOP_SAMPLES, -(-len(samples) // (4 * _COLUMNS))))
    padded = np.pad(samples, (_FFT_SAMPLES // 2, _FFT_SAMPLES // 2 + hop))
    overlap = _FFT_SAMPLES - hop
    spectrum: Any = specgram(padded, NFFT=_FFT_SAMPLES, Fs=rate, noverlap=overlap)[0]
    power = np.asarray(spectrum, np.float64)
    decibels = 10 * np.log10(np.maximum(power, 1e-20) / max(float(power.max()), 1e-10))
    seconds = max(len(samples) / rate, 1e-3)
    image = axes.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=_FLOOR_DB,
        vmax=0,
        extent=(0, seconds, 0, rate / 2000),
    )
    axes.set_ylabel("frequency in kHz", color=_INK)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=30)
    bar.set_label("decibels below the loudest", color=_INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=_INK, labelsize=9)


def _mark(all_axes: Sequence[Any], starts_seconds: Sequence[float]) -> None:
    """Draw a line and a number where each segment begins."""
    if len(starts_seconds) < 2:
        return
    every = -(-len(starts_seconds) // _MAX_NUMBERS)
    line = {"color": _BOUNDARY, "linewidth": 0.8 if every == 1 else 0.4, "alpha": 0.8}
    for index, start in enumerate(starts_seconds):
        if index:
            for axes in all_axes:
                axes.axvline(start, **line)
        if index % every == 0:
            all_axes[0].annotate(
                str(index + 1),
                (start, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(2, 2),
                textcoords="offset points",
                fontsize=7.5,
                color=_BOUNDARY,
                annotation_clip=False,
            )
