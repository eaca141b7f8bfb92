"""Compares tokenizer.onnx with the tokenizer it repeats, id by id."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bark_onnx.export.session import open_session
from bark_onnx.export.tokenizer_graph.rules import TokenizerRules
from bark_onnx.graphs.bundle.tokenizer_graph import TEXT, TEXT_TOKENS
from bark_onnx.graphs.contract import INPUT_IDS
from bark_onnx.graphs.errors import ExportError, shortened
from bark_onnx.graphs.generation_config import SemanticSettings
from bark_onnx.graphs.installation import install_command

_WORDS = 200  # in a text; the ids of the first ones are compared, and the number of all
_CHARACTERS = range(1, 0x3000)  # a NUL ends the text that the operators read
_MAX_SHOWN = 40  # characters of a text in a message


def custom_operators() -> str:
    """Path of the library with the operators of onnxruntime-extensions.

    Raises:
        ExportError: The package is not installed.
    """
    try:
        from onnxruntime_extensions import get_library_path
    except ImportError as error:
        raise ExportError(
            "--tokenizer-graph: onnxruntime-extensions is not installed, which compares the graph "
            f"with tokenizer.json; {install_command('tokenizer-graph')}, or give --no-verify"
        ) from error
    return str(get_library_path())


def compare_tokenizer(
    tokenizer: Tokenizer, rules: TokenizerRules, settings: SemanticSettings, graph: Path
) -> None:
    """Run the graph and its tokenizer on all words of the vocabulary and on difficult texts.

    Raises:
        ExportError: onnxruntime-extensions is not installed, or a text has other ids.
    """
    session = open_session(graph, library=custom_operators())
    for text in _texts(rules):
        found = graph_ids(session, text, settings)
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        expected = (ids[: settings.max_input_semantic_length], len(ids))
        if found != expected:
            raise ExportError(
                f"tokenizer.onnx: found {found[1]} ids of {shortened(text, _MAX_SHOWN)!r}, "
                f"expected {len(ids)} as tokenizer.json gives them; please report this, and omit "
                "--tokenizer-graph"
            )


def graph_ids(session: Any, text: str, settings: SemanticSettings) -> tuple[list[int], int]:
    """Ids of a text without offset and padding, and their number before they were cut."""
    feeds = {TEXT: np.array([text], object)}
    prompt, count = session.run([INPUT_IDS, TEXT_TOKENS], feeds)
    kept = min(int(count), settings.max_input_semantic_length)
    return (prompt[0, :kept] - settings.text_encoding_offset).tolist(), int(count)


def _texts(rules: TokenizerRules) -> Iterator[str]:
    yield from ("", " ", "\n\t ", *rules.special)
    known = next((entry for entry in rules.entries if entry.isalpha()), "a")
    unknown = chr(0x10FFFD)
    longest = rules.max_word_characters
    yield f"{known}{unknown} {unknown}{known} {known} {''.join(rules.special)}{known}"
    yield " ".join(known * (length // len(known)) for length in (longest, longest + 1, 3 * longest))
    words = [f"{known}{chr(point)}{known}" for point in _CHARACTERS]
    words += [entry.removeprefix(rules.prefix) for entry in rules.entries if entry]
    for begin in range(0, len(words), _WORDS):
        yield " ".join(words[begin : begin + _WORDS])
