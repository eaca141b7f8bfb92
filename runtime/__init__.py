"""Bark speaks on ONNX Runtime: load a bundle, say a text. Never imports torch.

from bark_onnx.runtime import Bark

speech = Bark.load("bark-small-onnx").speak("Hello, my dog is cute", voice="v2/en_speaker_6")
speech.save("hello.wav")
"""

from bark_onnx.graphs.errors import (
    AudioError,
    BarkError,
    BundleError,
    EngineError,
    OptionsError,
    ProviderError,
    TextError,
    VoiceError,
)
from bark_onnx.graphs.voices import Voice
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.writer import SpeechWriter
from bark_onnx.runtime.options import GenerationOptions
from bark_onnx.runtime.pipeline import Bark
from bark_onnx.runtime.process import share_threads

__all__ = [
    "AudioError",
    "Bark",
    "BarkError",
    "BundleError",
    "EngineError",
    "GenerationOptions",
    "OptionsError",
    "ProviderError",
    "Speech",
    "SpeechWriter",
    "TextError",
    "Voice",
    "VoiceError",
    "share_threads",
]
