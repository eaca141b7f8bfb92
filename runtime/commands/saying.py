"""Says one text to where the sound goes, piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import click

from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timestamps import Timestamp, write_timestamps
from bark_onnx.runtime.audio.writer import SpeechWriter
from bark_onnx.runtime.commands.outputs import Output
from bark_onnx.runtime.commands.progress import ProgressBars


@dataclass
class Said:
    """What has been written so far."""

    seconds: float = 0.0
    timestamps: list[Timestamp] = field(default_factory=list)

    @property
    def pieces(self) -> int:
        """How many."""
        return len(self.timestamps)


def say(speeches: Iterator[Speech], output: Output, rate_hz: int, bars: ProgressBars) -> Said:
    """Write speeches as they come; an interrupt leaves what came."""
    said = Said()
    try:
        with SpeechWriter(output.output, rate_hz, metadata=not output.no_metadata) as file:
            for speech in speeches:
                file.write(speech)
                said.seconds = file.seconds
                said.timestamps.append(Timestamp.of(speech))
                bars.add(len(speech.text))
    except KeyboardInterrupt as stop:
        if not said.pieces:
            raise
        raise click.Abort(
            f"interrupted; {output.output} holds what was said before, {said.seconds:.2f} s"
        ) from stop
    finally:
        if output.timestamps is not None and said.pieces:
            write_timestamps(output.timestamps, said.timestamps)
    return said
