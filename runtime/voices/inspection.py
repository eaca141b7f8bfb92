"""What there is to know about a voice before it speaks: its length, its origin, what is odd.

Warns of nothing but what Bark's loops do with a voice; how it sounds, only ears can tell.
"""

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.voices.provenance import VoiceProvenance
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.text.terminal import excerpt
from bark_onnx.runtime.voices.aliases import language_of

_SHOWN = 200  # characters of a text
_SHORTEST = 2  # semantic tokens and frames, below which the coarse stage cannot count


@dataclass(frozen=True)
class HistoryLimits:
    """How much of the end of a voice Bark hears. The defaults are those of Suno's checkpoints."""

    fine_frames: int = 512  # of the fine stage, which hears the most
    frame_rate_hz: float = 75.0
    semantic_rate_hz: float = 49.9

    @classmethod
    def of(cls, settings: GenerationSettings) -> "HistoryLimits":
        """That of a checkpoint."""
        return cls(
            settings.fine.max_fine_history_length,
            settings.coarse.coarse_rate_hz,
            settings.semantic.semantic_rate_hz,
        )

    @property
    def seconds(self) -> float:
        """What Bark hears at most."""
        return self.fine_frames / self.frame_rate_hz


def voice_warnings(voice: Voice, hearing: HistoryLimits) -> list[str]:
    """What is odd about a voice that can nevertheless speak.

    - Semantic tokens and frames of different lengths. The coarse stage takes the last tokens and
      the frames that belong to them by their rates, so they would not be of the same moment.
      Suno's own code compares the ratio with one decimal, and stops.
    - Coarse codes that are not the first rows of the fine ones, as in all of Suno's presets: the
      coarse stage would go on from one sound, and the fine stage from another.
    - Less than two tokens or two frames. The coarse stage drops the last frame and an odd token,
      and of nothing left takes everything.
    """
    tokens, frames = len(voice.semantic_prompt), voice.fine_prompt.shape[1]
    warnings = []
    if min(tokens, frames) < _SHORTEST:
        warnings.append(
            f"{tokens} semantic tokens and {frames} frames are too short to go on from; "
            f"expected at least {_SHORTEST} of each"
        )
    elif round(frames / tokens, 1) != round(hearing.frame_rate_hz / hearing.semantic_rate_hz, 1):
        warnings.append(
            f"the semantic tokens last {tokens / hearing.semantic_rate_hz:.2f} s, the frames "
            f"{frames / hearing.frame_rate_hz:.2f} s; expected the same, and Suno's own code "
            "refuses such a voice"
        )
    if not np.array_equal(voice.coarse_prompt, voice.fine_prompt[: len(voice.coarse_prompt)]):
        warnings.append(
            "coarse_prompt differs from the first rows of fine_prompt; expected the same codes, "
            "as these two are one sound"
        )
    return warnings


def describe_voice(voice: Voice, hearing: HistoryLimits) -> list[str]:
    """Lines for people: length, language, origin, warnings."""
    tokens, frames = len(voice.semantic_prompt), voice.fine_prompt.shape[1]
    heard = f"the last {hearing.seconds:.2f} s" if frames > hearing.fine_frames else "all of it"
    lines = [
        f"{voice.name}: a voice of {frames / hearing.frame_rate_hz:.2f} s",
        f"  tokens      {tokens} semantic, {frames} frames of coarse and fine codes",
        f"  heard       {heard}",
    ]
    language = language_of(PurePath(voice.name).stem)
    if language is not None:
        lines.append(f"  language    {language}")
    if voice.provenance is not None:
        lines.extend(_origin_lines(voice.provenance))
    return lines + [f"  warning     {warning}" for warning in voice_warnings(voice, hearing)]


def _origin_lines(provenance: VoiceProvenance) -> list[str]:
    known = {
        "said": provenance.text and f'"{provenance.text}"',
        "seed": "" if provenance.seed is None else str(provenance.seed),
        "spoken with": provenance.voice,
        "checkpoint": provenance.checkpoint,
        "software": provenance.software,
    }
    return [f"  {what:<11} {excerpt(value, _SHOWN)}" for what, value in known.items() if value]
