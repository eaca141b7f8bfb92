"""Option names of Suno's own command, hidden, for scripts that use it.

Source: `bark/cli.py` of suno-ai/bark, where the temperature of the waveform is that of the coarse
stage.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bark_onnx.graphs.command_line import Command, GroupedCommand
from bark_onnx.graphs.errors import AudioError, OptionsError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors

SUNO_NAMES = {
    "text": "text",
    "history_prompt": "voice",
    "text_temp": "semantic_temperature",
    "waveform_temp": "coarse_temperature",
    "output_filename": "output",
    "output_dir": "output",
}
_PARAMETER = "suno_{}"  # names of the hidden parameters
_FILE_NAME = "bark_generation.wav"  # Suno's default


class SunoCompatCommand(GroupedCommand):
    """A command whose `suno_options` are aliases of its own options."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command with the values of the aliases."""
        for name, target in SUNO_NAMES.items():
            if ctx.params[_PARAMETER.format(name)] is not None:
                _check_alone(ctx, name, target)
        given = {name: ctx.params.pop(_PARAMETER.format(name)) for name in SUNO_NAMES}
        folder, file = given.pop("output_dir"), given.pop("output_filename")
        if folder is not None or file is not None:
            ctx.params["output"] = str(Path(folder or ".") / (file or _FILE_NAME))
        for name, value in given.items():
            if value is not None:
                ctx.params[SUNO_NAMES[name]] = value
        if folder is None:
            return super().invoke(ctx)
        with _made_folder(Path(folder)):
            return super().invoke(ctx)


def suno_options(function: Command) -> Command:
    """Add the hidden options."""
    for name in SUNO_NAMES:
        kind = float if name.endswith("_temp") else str
        parameter = _PARAMETER.format(name)
        function = click.option(f"--{name}", parameter, type=kind, hidden=True)(function)
    return function


def _check_alone(ctx: click.Context, name: str, target: str) -> None:
    rivals = {"text": "TEXT", "file": "--input"} if target == "text" else {target: f"--{target}"}
    for rival, flag in rivals.items():
        if ctx.get_parameter_source(rival) is ParameterSource.COMMANDLINE:
            shown = flag.replace("_", "-")
            raise OptionsError(f"Found both --{name} and {shown}; expected one of them")


@contextmanager
def _made_folder(folder: Path) -> Iterator[None]:
    """Create a folder if it is missing, as Suno's command does; after an error, remove it again."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with wrap_os_errors(AudioError, f"{folder}: cannot be created"):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for each in missing:
            with suppress(OSError):  # it holds what was said, or was never created
                each.rmdir()
        raise
