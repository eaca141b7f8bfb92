"""Describes a voice: length, provenance, and anomalies that Bark's loops would stumble over."""

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.voices.provenance import VoiceProvenance
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.text.terminal import excerpt
from bark_onnx.runtime.voices.aliases import language_of

_MAX_CHARACTERS = 200  # of a text
_MIN_LENGTH = 2  # semantic tokens and frames that the coarse stage needs


@dataclass(frozen=True)
class HistoryLimits:
    """How much of the end of a voice the stages use. Defaults are those of Suno's checkpoints."""

    fine_frames: int = 512  # in the fine stage, the longest
    frame_rate_hz: float = 75.0
    semantic_rate_hz: float = 49.9

    @classmethod
    def of(cls, settings: GenerationSettings) -> "HistoryLimits":
        """The limits of a checkpoint."""
        return cls(
            settings.fine.max_fine_history_length,
            settings.coarse.coarse_rate_hz,
            settings.semantic.semantic_rate_hz,
        )

    @property
    def seconds(self) -> float:
        """Length of the longest history."""
        return self.fine_frames / self.frame_rate_hz


def voice_warnings(voice: Voice, limits: HistoryLimits) -> list[str]:
    """Anomalies of a voice that can nevertheless be used.

    - Semantic tokens and frames of different lengths. The coarse stage pairs the last tokens with
      the last frames by their rates, so they would not belong to the same moment. Suno's own code
      compares the ratio with one decimal, and fails.
    - Coarse codes that differ from the first rows of the fine codes, unlike in all of Suno's
      presets: the coarse and the fine stage would continue different audio.
    - Fewer than two tokens or two frames. The coarse stage drops the last frame and an odd token,
      and slices that become empty select everything.
    """
    tokens, frames = len(voice.semantic_prompt), voice.fine_prompt.shape[1]
    warnings = []
    if min(tokens, frames) < _MIN_LENGTH:
        warnings.append(
            f"{tokens} semantic tokens and {frames} frames are too short for a history; "
            f"expected at least {_MIN_LENGTH} of each"
        )
    elif round(frames / tokens, 1) != round(limits.frame_rate_hz / limits.semantic_rate_hz, 1):
        warnings.append(
            f"the semantic tokens last {tokens / limits.semantic_rate_hz:.2f} s, the frames "
            f"{frames / limits.frame_rate_hz:.2f} s; expected the same, and Suno's own code "
            "refuses such a voice"
        )
    if not np.array_equal(voice.coarse_prompt, voice.fine_prompt[: len(voice.coarse_prompt)]):
        warnings.append(
            "coarse_prompt differs from the first rows of fine_prompt; expected the same codes"
        )
    return warnings


def describe_voice(voice: Voice, limits: HistoryLimits) -> list[str]:
    """Lines of a readable description: length, language, provenance, warnings."""
    tokens, frames = len(voice.semantic_prompt), voice.fine_prompt.shape[1]
    used = f"the last {limits.seconds:.2f} s" if frames > limits.fine_frames else "all of it"
    lines = [
        f"{voice.name}: a voice of {frames / limits.frame_rate_hz:.2f} s",
        f"  tokens      {tokens} semantic, {frames} frames of coarse and fine codes",
        f"  used        {used}",
    ]
    language = language_of(PurePath(voice.name).stem)
    if language is not None:
        lines.append(f"  language    {language}")
    if voice.provenance is not None:
        lines.extend(_provenance_lines(voice.provenance))
    return lines + [f"  warning     {warning}" for warning in voice_warnings(voice, limits)]


def _provenance_lines(provenance: VoiceProvenance) -> list[str]:
    fields = {
        "text": provenance.text and f'"{provenance.text}"',
        "seed": "" if provenance.seed is None else str(provenance.seed),
        "voice": provenance.voice,
        "checkpoint": provenance.checkpoint,
        "software": provenance.software,
    }
    return [
        f"  {name:<11} {excerpt(value, _MAX_CHARACTERS)}" for name, value in fields.items() if value
    ]
