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
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.audio.files.writer import SpeechWriter
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.inference.thread_pool import use_global_thread_pool
from bark_onnx.runtime.options.generation import GenerationOptions

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
    "use_global_thread_pool",
]
