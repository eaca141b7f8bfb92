"""The public names of `bark_onnx.runtime`, which imports them when they are first used."""

from bark_onnx.graphs.errors import (
    AudioError,
    BarkError,
    BundleError,
    ClosedError,
    ContractError,
    EngineError,
    OptionsError,
    PlayerError,
    ProviderError,
    QueueFullError,
    TextError,
    VoiceError,
)
from bark_onnx.graphs.voices.provenance import VoiceProvenance
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.audio.files.writer import SpeechWriter
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.engine.future import RequestTimings, SpeechFuture, StageTimes
from bark_onnx.runtime.engine.status import BarkInfo, EngineStatus, Observer, StageStatus
from bark_onnx.runtime.inference.thread_pool import use_global_thread_pool
from bark_onnx.runtime.longform.plan import StreamPlan
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.options.stream import StreamOptions
from bark_onnx.runtime.provenance.provenance import Provenance
from bark_onnx.runtime.seeds import segment_seed
from bark_onnx.runtime.text.languages import Language
from bark_onnx.runtime.text.segments import Segment
from bark_onnx.runtime.voices.library import VoiceInfo

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
