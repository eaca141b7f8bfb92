"""A text of any length, from what was asked for to the pieces that come out, with their recipe."""

import dataclasses
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.inference.progress import OnProgress
from bark_onnx.runtime.longform.quality import Cleaning
from bark_onnx.runtime.longform.reading import Reader, Reading, Submit, plan_lines
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.provenance.provenance import Provenance, Setting
from bark_onnx.runtime.provenance.recorder import ProvenanceRecorder
from bark_onnx.runtime.seeds import resolve_seed
from bark_onnx.runtime.text.dialogue import split_turns
from bark_onnx.runtime.text.segments import Splitting, split_text
from bark_onnx.runtime.text.text_units import CountTokens
from bark_onnx.runtime.voices.library import VoiceLibrary, VoiceLike

NARRATOR = ""  # who says what no speaker of a cast does
_SOUND_THE_SAME = {"together"}  # whatever they are


@dataclass(frozen=True)
class Manner:
    """How a text is read. The fields of the fields are keywords of `Bark.stream`."""

    splitting: Splitting
    reading: Reading
    cleaning: Cleaning

    def changes(self) -> dict[str, Setting]:
        """Settings that change the sound and are not at their defaults."""
        parts = (self.splitting, self.reading, self.cleaning)
        found = {
            field.name: (getattr(part, field.name), field.default)
            for part in parts
            for field in dataclasses.fields(part)
        }
        return {
            name: value
            for name, (value, default) in found.items()
            if value != default and name not in _SOUND_THE_SAME
        }


class Narrator:
    """Reads texts with one bundle.

    Args:
        bundle: that speaks.
        recipes: written for every text.
        count_tokens: tokens of a text.
        submit: has one piece said.
    """

    def __init__(
        self,
        bundle: Bundle,
        recorder: ProvenanceRecorder,
        count_tokens: CountTokens,
        submit: Submit,
    ) -> None:
        self._bundle = bundle
        self._recipes = recorder
        self._count_tokens = count_tokens
        self._submit = submit

    def narrate(
        self,
        text: str,
        voices: Mapping[str, VoiceLike],
        *,
        seed: int | None,
        options: GenerationOptions,
        manner: Manner,
        on_progress: OnProgress | None,
    ) -> Generator[Speech]:
        """The pieces of a text, each with the recipe of the whole and its own number.

        Args:
            text: the whole.
            voices: by speaker, `NARRATOR` among them; there is a cast if there are others.
            seed: of the whole; None draws one.
            options: generation settings.
            manner: how it is read.
            on_progress: hears of the piece that comes next.

        Raises:
            BarkError: something cannot be as asked for; before anything is said.
        """
        seed = resolve_seed(seed)
        reader = self._reader(seed, options, manner, on_progress)
        loaded = {name: VoiceLibrary(self._bundle).load(voice) for name, voice in voices.items()}
        split = partial(
            split_text,
            count_tokens=self._count_tokens,
            language=manner.splitting.language,
            max_seconds=manner.splitting.max_seconds,
            max_tokens=self._bundle.manifest.generation.semantic.max_input_semantic_length,
        )
        speakers = [name for name in voices if name != NARRATOR]
        spoken_by = {name: voice.voice for name, voice in loaded.items()}
        lines = plan_lines(split_turns(text, speakers), spoken_by, split)
        provenance = self._recipes.write(
            text,
            seed,
            loaded[NARRATOR].ref,
            options,
            cast={name: loaded[name].ref for name in speakers},
            reading=manner.changes(),
        )
        return _with_provenance(reader.read(lines), provenance, len(lines))

    def _reader(
        self,
        seed: int,
        options: GenerationOptions,
        manner: Manner,
        on_progress: OnProgress | None,
    ) -> Reader:
        manifest = self._bundle.manifest
        longest = options.resolve(manifest.generation, manifest.shapes.semantic)
        return Reader(
            self._submit,
            options.replace(semantic_max_new_tokens=longest.semantic_max_new_tokens),
            manner.reading,
            manner.cleaning,
            seed=seed,
            semantic_rate_hz=manifest.generation.semantic.semantic_rate_hz,
            on_progress=on_progress,
        )


def _with_provenance(
    speeches: Generator[Speech], provenance: Provenance, pieces: int
) -> Generator[Speech]:
    with closing(speeches):
        for number, speech in enumerate(speeches, 1):
            piece = number if pieces > 1 else None
            yield dataclasses.replace(
                speech, provenance=dataclasses.replace(provenance, piece=piece)
            )
