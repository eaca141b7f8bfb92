"""Tables of figures, and files of what was said and recognized."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile

from recognition.measures import Measured

Column = tuple[str, str, str]  # title, attribute of a row, format

SENTENCE_COLUMNS: tuple[Column, ...] = (
    ("sentences", "utterances", "{}"),
    ("ended", "ended_share", "{:.1%}"),
    ("length", "length_ratio", "{:.2f}"),
    ("within 30 %", "similar_length_share", "{:.1%}"),
    ("cents", "pitch_cents", "{:.0f}"),
    ("in semitone", "semitone_share", "{:.1%}"),
    ("hum", "hum", "{:.2f}"),
    ("RTF", "real_time_factor", "{:.2f}"),
)


def table(rows: Sequence[Any], columns: Sequence[Column]) -> list[str]:
    """Lines of a table: the header and a line for each row.

    Args:
        rows: Rows with a name and word error rates, and the attributes of the columns.
        columns: Columns after those.
    """
    recognizers = list(rows[0].word_error_rates)
    titles = [*(f"{name} WER %" for name in recognizers), *(title for title, _, _ in columns)]
    lines = [["", *titles]]
    for row in rows:
        rates = [f"{row.word_error_rates[name]:.1f}" for name in recognizers]
        values = [(getattr(row, attribute), form) for _, attribute, form in columns]
        cells = ["" if value is None else form.format(value) for value, form in values]
        lines.append([row.name, *rates, *cells])
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines whose cells form columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def keep(folder: Path, rows: Sequence[Measured]) -> None:
    """Write the sounds, and report.txt with the sentences, the worst first."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for index, row in enumerate(rows):
        name = f"{index:04}.wav"
        utterance = row.utterance
        soundfile.write(folder / name, utterance.samples.clip(-1, 1), utterance.sample_rate_hz)
        errors = sum(count.errors for count in row.words.values())
        entries.append((-errors, index, "\n".join(_entry(name, row))))
    text = "\n\n".join(entry for _, _, entry in sorted(entries))
    (folder / "report.txt").write_text(text + "\n", encoding="utf-8")


def _entry(name: str, row: Measured) -> list[str]:
    utterance = row.utterance
    cut = "" if utterance.ended is not False else ", cut"
    lines = [f"{name}  {utterance.speaker}, {utterance.seconds:.1f} s{cut}"]
    lines.append(f"  said         {utterance.sentence}")
    for recognizer, found in row.words.items():
        lines.append(f"  {recognizer:<12} {found.recognized}  ({found.errors} of {found.words})")
    return lines
