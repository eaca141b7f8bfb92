"""Which voices there are: the bundle's, those that were uploaded, and other names for them.

A voice is asked for by name, never by path, and uploads lie in one folder.
"""

import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from bark_onnx.graphs.bundle.atomic_write import wrap_os_errors
from bark_onnx.graphs.errors import OptionsError, VoiceError
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.server.errors import ApiError
from bark_onnx.runtime.server.settings import MAX_UPLOADS
from bark_onnx.runtime.voices.aliases import parse_alias, parse_preset_name, resolve_alias
from bark_onnx.runtime.voices.library import VoiceLike

# OpenAI's voices, and Suno's that take their place.
OPENAI_VOICES = {
    "alloy": "v2/en_speaker_6",
    "ash": "v2/en_speaker_3",
    "ballad": "v2/en_speaker_2",
    "coral": "v2/en_speaker_9",
    "echo": "v2/en_speaker_0",
    "fable": "v2/en_speaker_1",
    "nova": "v2/en_speaker_9",
    "onyx": "v2/en_speaker_8",
    "sage": "v2/en_speaker_4",
    "shimmer": "v2/en_speaker_5",
    "verse": "v2/en_speaker_7",
}
UPLOAD_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"

_SHOWN = 60  # characters of a name in a message


class VoiceRegistry:
    """The voices of a server.

    Args:
        bundle_names: of the bundle's voices; none of them is taken for a path.
        check: raises VoiceError for a voice of another checkpoint.
        aliases: other names and the voices they stand for; None stands for no voice, so that the
            model chooses. None instead of the whole takes OpenAI's names.
        uploads: folder of uploaded voices, made if missing; None: there are none.

    Raises:
        OptionsError: an alias stands for a voice that does not exist, or hides one.
        VoiceError: an alias stands for a language without a voice, or the folder cannot be made.
    """

    def __init__(
        self,
        bundle_names: list[str],
        *,
        check: Callable[[Voice], object],
        aliases: Mapping[str, str | None] | None,
        uploads: Path | None,
    ) -> None:
        self._bundle_names = bundle_names
        self._check = check
        self._uploads = uploads
        if uploads is not None:
            _make_folder(uploads)
        if aliases is None:
            self._aliases = _openai_aliases(self._bundle_names)
        else:
            self._aliases = dict(aliases)
            self._check_aliases()

    def names(self) -> dict[str, str]:
        """What every voice is called, for requests and for people."""
        shown = {
            alias: f"{alias} ({target or 'the model chooses'})"
            for alias, target in self._aliases.items()
        }
        own = [*self._upload_names(), *self._bundle_names]
        return shown | {name: name for name in own}

    def language(self, name: str) -> str | None:
        """Code of the language that a name of `names` tells, or the voice that it stands for."""
        target = self._aliases.get(name)
        speaker = parse_preset_name(target or name) or (parse_alias(target) if target else None)
        return speaker.language.code if speaker else None

    def resolve(self, name: str | None) -> VoiceLike:
        """The voice that a request asks for, as the library takes it.

        Besides those of `names`, languages do: "german", "de-3".

        Raises:
            ApiError: there is none of that name.
            VoiceError: an uploaded file is damaged.
        """
        target = self._aliases.get(name, name) if name is not None else None
        if target is None or target in self._bundle_names:
            return target
        if target in self._upload_names():
            with self._path(target).open("rb") as file:
                return Voice.read(file, name=target)
        return self._of_language(target)

    def _of_language(self, name: str) -> str:
        try:
            known = resolve_alias(name, self._bundle_names)
        except VoiceError as error:
            raise _not_found(str(error)) from error
        if known is None:
            raise _not_found(
                f"Voice {_quoted(name)} not found; /v1/audio/voices lists those there are"
            )
        return known

    def add(self, name: str, data: bytes) -> None:
        """Keep an uploaded .npz file, rewritten, under a new name.

        Raises:
            ApiError: uploads are off, full, or the name is taken or none.
            VoiceError: the data are no voice.
        """
        folder = self._folder()
        if re.fullmatch(UPLOAD_NAME, name) is None:
            raise ApiError(
                400,
                f"name is {_quoted(name)}; expected letters, digits, _ and -, at most 64",
                param="name",
            )
        taken = {known.lower() for known in self.names()}
        if name.lower() in taken:
            raise ApiError(
                409, f"Voice {_quoted(name)} exists; delete it or choose another name", param="name"
            )
        if len(self._upload_names()) >= MAX_UPLOADS:
            raise ApiError(409, f"There are {MAX_UPLOADS} uploaded voices; delete one first")
        voice = Voice.read(io.BytesIO(data), name=name)
        self._check(voice)
        voice.save(folder / f"{name}.npz")

    def remove(self, name: str) -> None:
        """Delete an uploaded voice.

        Raises:
            ApiError: uploads are off, or the voice is unknown or not an uploaded one.
        """
        self._folder()
        if name in self._upload_names():
            self._path(name).unlink(missing_ok=True)
        elif name in self.names():
            raise ApiError(
                403, f"Voice {_quoted(name)} belongs to the server; only uploaded ones can go"
            )
        else:
            raise ApiError(404, f"Voice {_quoted(name)} not found", code="voice_not_found")

    def _folder(self) -> Path:
        if self._uploads is None:
            raise ApiError(
                403, "Uploads are off; start the server with --uploads FOLDER", code="uploads_off"
            )
        return self._uploads

    def _path(self, name: str) -> Path:
        return self._folder() / f"{name}.npz"

    def _upload_names(self) -> list[str]:
        if self._uploads is None:
            return []
        return sorted(
            path.stem
            for path in self._uploads.glob("*.npz")
            if re.fullmatch(UPLOAD_NAME, path.stem) and path.is_file() and not path.is_symlink()
        )

    def _check_aliases(self) -> None:
        known = {*self._bundle_names, *self._upload_names()}
        for alias, target in self._aliases.items():
            if alias in self._bundle_names:
                raise OptionsError(f"Alias {alias!r} hides a voice of the bundle; rename it")
            if target is None or target in known:
                continue
            if resolve_alias(target, self._bundle_names) is None:
                raise OptionsError(
                    f"Alias {alias!r} stands for voice {target!r}, which the bundle does not have; "
                    "list them with: bark-onnx voices"
                )


def read_aliases(path: Path) -> dict[str, str | None]:
    """An alias table from a JSON file: an object of names, each with a voice's name or null.

    Raises:
        OptionsError: the file cannot be read, or is something else.
    """
    try:
        with wrap_os_errors(OptionsError, f"{path}: cannot be read"):
            table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OptionsError(f"{path}: not JSON ({error})") from error
    if not isinstance(table, dict):
        raise OptionsError(f"{path}: found a {type(table).__name__}, expected an object")
    for alias, target in table.items():
        if target is not None and not isinstance(target, str):
            raise OptionsError(f"{path}: {alias!r} is {target!r}, expected a voice's name or null")
    return table


def _openai_aliases(names: list[str]) -> dict[str, str | None]:
    """OpenAI's names for a bundle that may lack Suno's voices: then its own, in turn."""
    return {
        alias: (target if target in names else names[index % len(names)]) if names else None
        for index, (alias, target) in enumerate(OPENAI_VOICES.items())
        if alias not in names
    }


def _make_folder(folder: Path) -> None:
    with wrap_os_errors(VoiceError, f"{folder}: cannot be made"):
        folder.mkdir(parents=True, exist_ok=True)


def _not_found(message: str) -> ApiError:
    return ApiError(400, message, param="voice", code="voice_not_found")


def _quoted(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")
