"""words.txt: the words of a checkpoint that knows only few."""

from pathlib import Path

from bark_onnx.graphs.errors import BarkError
from bark_onnx.graphs.files.regular_file import read_file

_MAX_BYTES = 16 << 20


def read_words(path: Path, error_class: type[BarkError], *, remedy: str) -> frozenset[str]:
    """Words of a file with one word a line.

    Raises:
        FileNotFoundError: The file is missing.
        BarkError: It is not a regular file, too large, or not UTF-8; of `error_class`.
    """
    content = read_file(path, error_class, max_bytes=_MAX_BYTES, remedy=remedy)
    try:
        return frozenset(content.decode("utf-8").split())
    except UnicodeDecodeError as error:
        raise error_class(f"{path}: not UTF-8 ({error.reason}); {remedy}") from error
