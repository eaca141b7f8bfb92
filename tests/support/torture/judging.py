"""Judges commands: by their exit status, their messages, and what became of the files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.torture.commands import Result
from tests.support.torture.outcomes import Outcome, Verdict
from tests.support.torture.trees import Tree, changes, tree

_TRACEBACK = "Traceback (most recent call last)"
_NAMES = ("bark-onnx: ", "bark-export: ")
_ASIDE = ("bark-onnx: warning: ", "bark-export: warning: ", "[")  # warnings, and progress
_TEMPORARY = ("bark-onnx-", ".bark-onnx-")  # beginnings of names of temporary files and folders

_MAX_NOTES = 2  # lines on standard error after success

Check = Callable[[Path], None]  # raises an AssertionError


def error_lines(err: str) -> list[str]:
    """Lines of standard error apart from warnings and progress."""
    return [line for line in err.splitlines() if line and not line.startswith(_ASIDE)]


def judge(
    result: Result,
    folder: Path,
    before: Tree,
    outputs: Mapping[str, Check],
    *,
    keeps: bool = False,
    max_lines: int = 1,
) -> Verdict:
    """Judge a command that has ended.

    Args:
        result: How it ended.
        folder: Folder with everything that it may have changed.
        before: Contents of that folder before the command.
        outputs: Checks of the files and folders in `folder` that the command writes.
        keeps: Whether a command that fails keeps what it has written so far, which is whole.
        max_lines: Number of errors, for a command that goes on after one.
    """
    if result.status is None:
        return Verdict(Outcome.HANG, str(result))
    if _TRACEBACK in result.err:
        return Verdict(Outcome.TRACEBACK, str(result))
    found = changes(before, tree(folder))
    damage = _damage(result.status == 0 or keeps, folder, before, found, outputs)
    if result.status == 0:
        damage += _check_outputs(folder, outputs)
    elif keeps:
        damage += _check_outputs(folder, {name: outputs[name] for name in outputs if name in found})
    if damage:
        return Verdict(Outcome.DAMAGE, "\n".join([*damage, str(result)]))
    if not has_clear_lines(result, max_lines):
        return Verdict(Outcome.TRACEBACK, f"not one clear line\n{result}")
    return Verdict(Outcome.ACCEPTED if result.status == 0 else Outcome.CLEAR_LINE, result.err)


def has_clear_lines(result: Result, max_lines: int = 1) -> bool:
    """Whether a command said why it failed, on one line, or nothing when it succeeded."""
    lines = error_lines(result.err)
    if result.status == 0:  # a summary, if standard output has the sound
        return len(lines) <= _MAX_NOTES and all(line.isprintable() for line in lines)
    assert result.status is not None
    return (
        result.status > 0
        and 1 <= len(lines) <= max_lines
        and all(line.startswith(_NAMES) and line.isprintable() for line in lines)
    )


def _damage(
    may_write: bool, folder: Path, before: Tree, found: list[str], outputs: Mapping[str, Check]
) -> list[str]:
    """Changes that must not be."""
    damage = []
    for path in found:
        is_output = any(path == name or path.startswith(f"{name}/") for name in outputs)
        is_temporary = any(part.startswith(_TEMPORARY) for part in Path(path).parts)
        if is_temporary or (path.endswith(".partial") and not is_output):
            damage.append(f"left behind: {path}")
        elif not (may_write and is_output):
            change = "changed" if path in before else "new"
            damage.append(f"{change}: {path}, {before.get(path)} -> {_now(folder / path)}")
    return damage


def _now(path: Path) -> str:
    if not (path.exists() or path.is_symlink()):
        return "gone"
    return f"{path.lstat().st_mode:o}, {path.lstat().st_size} bytes"


def _check_outputs(folder: Path, outputs: Mapping[str, Check]) -> list[str]:
    wrong = []
    for name, check in outputs.items():
        try:
            check(folder / name)
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    return wrong
