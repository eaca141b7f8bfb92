"""Every error that a user of bark-onnx can cause.

BarkError
├── BundleError        a bundle is incomplete, damaged, or from another version
│   └── ContractError  a graph's inputs and outputs are not those of its contract
├── CheckpointError    a checkpoint is not Bark, or lacks something
├── ExportError        a bundle could not be written, or a graph differs from its torch module
├── ProviderError      ONNX Runtime is missing, or cannot run what was asked for
├── OptionsError       a generation setting is out of range
├── TextError          a text cannot be spoken
├── VoiceError         a voice is unknown or malformed
├── EngineError        speaking failed after it had begun
│   ├── QueueFullError more requests came than may wait
│   └── ClosedError    the engine was closed
├── AudioError         a sound file, or what goes with it, cannot be written or read
│   └── PlayerError    sound cannot be played
└── ServerError        a server cannot start, or does not answer a request

A message is one line: what, found, expected, remedy.
"""


class BarkError(Exception):
    """Root of all errors that bark-onnx raises for something outside itself."""


class BundleError(BarkError):
    """A bundle is incomplete, damaged, or from another version."""


class ContractError(BundleError):
    """A graph's inputs and outputs are not those of its contract."""


class CheckpointError(BarkError):
    """A checkpoint is not Bark, or lacks something."""


class ExportError(BarkError):
    """A bundle could not be written, or a graph differs from its torch module."""


class ProviderError(BarkError):
    """ONNX Runtime is missing, or cannot run what was asked for."""


class OptionsError(BarkError):
    """A generation setting is out of range."""


class TextError(BarkError):
    """A text cannot be spoken."""


class VoiceError(BarkError):
    """A voice is unknown or malformed."""


class EngineError(BarkError):
    """Speaking failed after it had begun: ONNX Runtime did, or the engine died."""


class QueueFullError(EngineError):
    """More requests came than may wait."""


class ClosedError(EngineError):
    """The engine was closed before a request was done, or before it came."""


class AudioError(BarkError):
    """A sound file, or what goes with it, cannot be written or read."""


class PlayerError(AudioError):
    """Sound cannot be played: there is no program for it, or it ended too soon."""


class ServerError(BarkError):
    """A server cannot start, or does not answer a request."""
