"""Bark text-to-speech on ONNX Runtime. Never imports torch.

from bark_onnx.runtime import Bark

speech = Bark.load("bark-small-onnx").speak("Hello, my dog is cute", voice="v2/en_speaker_6")
speech.save("hello.wav")

Names are imported when they are first used: the command handles interrupts before its imports.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bark_onnx.runtime.api import *
else:

    def __getattr__(name: str) -> Any:
        """A public name."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.api"), name)
        return value

    def __dir__() -> list[str]:
        """The public names."""
        return sorted({*globals(), *__all__})


__all__ = [
    "AudioError",
    "Bark",
    "BarkError",
    "BarkInfo",
    "BundleError",
    "ClosedError",
    "ContractError",
    "EngineError",
    "EngineStatus",
    "GenerationOptions",
    "Language",
    "Observer",
    "OptionsError",
    "PlayerError",
    "Provenance",
    "ProviderError",
    "QueueFullError",
    "RequestTimings",
    "Segment",
    "Speech",
    "SpeechFuture",
    "SpeechWriter",
    "StageStatus",
    "StageTimes",
    "StreamOptions",
    "StreamPlan",
    "TextError",
    "Voice",
    "VoiceError",
    "VoiceInfo",
    "VoiceProvenance",
    "segment_seed",
    "use_global_thread_pool",
]
