"""The exceptions of bark-onnx.

BarkError
├── BundleError        a bundle is incomplete, damaged, or from another version
│   └── ContractError  inputs and outputs of a graph do not match its contract
├── CheckpointError    a checkpoint is not Bark, or is incomplete
├── ExportError        a bundle cannot be written, or a graph differs from its torch module
├── ProviderError      ONNX Runtime is missing or does not support the request
├── OptionsError       an option is out of range
├── TextError          a text cannot be spoken
├── VoiceError         a voice is unknown or malformed
├── EngineError        generation failed after its start
│   ├── QueueFullError more requests than may wait
│   └── ClosedError    the engine is closed
├── AudioError         a sound file or its metadata cannot be written or read
│   └── PlayerError    sound cannot be played
├── BatchError         rows, folder or cluster of a batch cannot be used
└── ServerError        a server cannot start or does not answer

A message is one line: what, found, expected, remedy.
"""


class BarkError(Exception):
    """Root of all errors that bark-onnx raises for causes outside of itself."""

    def __str__(self) -> str:
        """The message on one line, whatever names it quotes."""
        return printable(super().__str__())


class BundleError(BarkError):
    """A bundle is incomplete, damaged, or from another version."""


class ContractError(BundleError):
    """Inputs and outputs of a graph do not match its contract."""


class CheckpointError(BarkError):
    """A checkpoint is not Bark, or is incomplete."""


class ExportError(BarkError):
    """A bundle cannot be written, or a graph differs from its torch module."""


class ProviderError(BarkError):
    """ONNX Runtime is missing or does not support the request."""


class OptionsError(BarkError):
    """An option is out of range."""


class TextError(BarkError):
    """A text cannot be spoken."""


class VoiceError(BarkError):
    """A voice is unknown or malformed."""


class EngineError(BarkError):
    """Generation failed after its start: ONNX Runtime raised an error, or the engine ended."""


class QueueFullError(EngineError):
    """More requests arrived than may wait."""


class ClosedError(EngineError):
    """The engine is closed, or was closed before the request finished."""


class AudioError(BarkError):
    """A sound file or its metadata cannot be written or read."""


class PlayerError(AudioError):
    """Sound cannot be played: no program for it is installed, or the program ended early."""


class BatchError(BarkError):
    """The rows, the folder or the cluster of a batch cannot be used."""


class ServerError(BarkError):
    """A server cannot start or does not answer a request."""


def printable(text: str) -> str:
    """Text on one line; characters that would end it or steer a terminal are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def system_reason(error: BaseException) -> str:
    """Why the system refused something, as one line without paths and numbers."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError):
        return "a name has characters that the system cannot encode"
    return getattr(error, "strerror", None) or first_line(error)


def shortened(text: str, limit: int) -> str:
    """Text for a message, with an ellipsis behind `limit` characters."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def joined_lines(error: BaseException) -> str:
    """An error's message on one line, or the name of its class if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """First line of an error's message, or the name of its class if the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
