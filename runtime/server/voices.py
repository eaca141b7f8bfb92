"""Voices that requests can name: the bundle's, uploaded ones, and aliases of both. Never paths."""

from collections.abc import Callable, Mapping

from bark_onnx.graphs.errors import OptionsError, VoiceError
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.server.aliases import openai_aliases
from bark_onnx.runtime.server.errors import ApiError, quoted
from bark_onnx.runtime.server.uploads import UploadFolder
from bark_onnx.runtime.voices.aliases import parse_alias, parse_preset_name, resolve_alias
from bark_onnx.runtime.voices.library import VoiceLike

_NOT_FOUND = "voice_not_found"


class VoiceRegistry:
    """Voices of a server. For several threads.

    Args:
        bundle_names: Names of the bundle's voices.
        check: Function that raises VoiceError for a voice of another checkpoint.
        aliases: Other names and the voices they stand for; the voice None lets the model choose.
            None instead of a table selects OpenAI's names.
        uploads: Folder of uploaded voices; None: uploads are off.

    Raises:
        OptionsError: An alias stands for an unknown voice, or hides a voice of the bundle.
        VoiceError: An alias stands for a language without a voice.
    """

    def __init__(
        self,
        bundle_names: list[str],
        *,
        check: Callable[[Voice], object],
        aliases: Mapping[str, str | None] | None,
        uploads: UploadFolder | None,
    ) -> None:
        self._bundle_names = bundle_names
        self._check = check
        self._uploads = uploads
        if aliases is None:
            self._aliases = openai_aliases(self._bundle_names)
        else:
            self._aliases = dict(aliases)
            self._check_aliases()

    def labels(self) -> dict[str, str]:
        """Label for display of every voice, by name."""
        aliases = {
            alias: f"{alias} ({target or 'the model chooses'})"
            for alias, target in self._aliases.items()
        }
        return aliases | {name: name for name in [*self._upload_names(), *self._bundle_names]}

    def language(self, name: str) -> str | None:
        """Language code of a voice, from its name or that of the voice it stands for."""
        target = self._aliases.get(name)
        preset = parse_preset_name(target or name) or (parse_alias(target) if target else None)
        return preset.language.code if preset else None

    def resolve(self, name: str | None, *, param: str = "voice") -> VoiceLike:
        """Look up the voice of a request: an alias, a voice, or a language ("german", "de-3").

        Args:
            name: Name in the request; None lets the model choose.
            param: Field of the request that has the name.

        Raises:
            ApiError: The voice does not exist, or its uploaded file is damaged.
        """
        target = self._aliases.get(name, name) if name is not None else None
        if target is None or target in self._bundle_names:
            return target
        try:
            uploaded = self._uploads.read(target) if self._uploads is not None else None
        except VoiceError as error:
            raise ApiError(400, str(error), param=param) from error
        if uploaded is not None:
            return uploaded
        try:
            found = resolve_alias(target, self._bundle_names)
        except VoiceError as error:
            raise ApiError(400, str(error), param=param, code=_NOT_FOUND) from error
        if found is None:
            message = f"Voice {quoted(target)} not found; list them with /v1/audio/voices"
            raise ApiError(400, message, param=param, code=_NOT_FOUND)
        return found

    def add(self, name: str, data: bytes) -> None:
        """Store the arrays of an uploaded .npz file under a new name.

        Raises:
            ApiError: Uploads are off, the name is invalid or taken, or a limit is exceeded.
            VoiceError: The data are malformed, or a voice of another checkpoint.
        """
        self._folder().add(name, data, check=self._check, taken=self.labels)

    def remove(self, name: str) -> None:
        """Delete an uploaded voice.

        Raises:
            ApiError: Uploads are off, or the voice is unknown or not an uploaded one.
        """
        if self._folder().remove(name):
            return
        if name in self.labels():
            raise ApiError(
                403, f"Voice {quoted(name)} is not an uploaded one, and cannot be deleted"
            )
        raise ApiError(404, f"Voice {quoted(name)} not found", code=_NOT_FOUND)

    def _folder(self) -> UploadFolder:
        if self._uploads is None:
            raise ApiError(
                403, "Uploads are off; start the server with --uploads FOLDER", code="uploads_off"
            )
        return self._uploads

    def _upload_names(self) -> list[str]:
        return self._uploads.names() if self._uploads is not None else []

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
