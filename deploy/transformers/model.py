"""`BarkOnnxModel`: a bundle with the interface of transformers' `BarkModel`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from transformers import BarkProcessor, PreTrainedTokenizerFast

from bark_onnx.graphs.errors import OptionsError, VoiceError
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.transformers.arguments import ArgumentReader
from bark_onnx.transformers.batch import BatchedBark
from bark_onnx.transformers.configs import generation_config, generation_settings, model_config

_VOICE_KEYS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
_PADDING = "[PAD]"
_SEED_LIMIT = 1 << 53
_LOAD_AGAIN = 'load it again: from_bundle(…, provider="cuda", precision="fp16")'


class BarkOnnxModel(torch.nn.Module):
    """A bundle in place of a `BarkModel`: `generate` takes the same arguments.

    `pipeline("text-to-speech", model=…)` accepts it. It is a `torch.nn.Module` without parameters:
    ONNX Runtime runs the graphs.
    """

    main_input_name = "input_ids"
    input_modalities = "text"
    output_modalities = ("audio",)

    def __init__(self, bark: BatchedBark) -> None:
        super().__init__()
        self._bark = bark
        settings = bark.bundle.manifest.generation
        self._reader = ArgumentReader(generation_settings(settings))
        self.config = model_config(bark.bundle.manifest.shapes)
        self.generation_config = generation_config(settings)

    @classmethod
    def from_bundle(cls, bundle: str | Path, **options: Any) -> Self:
        """Load a bundle made by `bark-export`.

        Args:
            bundle: Folder, hub id, or "demo".
            **options: Those of `Bark.load`: provider, precision, threads, low_memory,
                max_batch_size, verify.

        Raises:
            BarkError: The bundle is unusable, or ONNX Runtime does not support the request.
        """
        return cls(BatchedBark.load(bundle, **options))

    def __repr__(self) -> str:
        return repr(self._bark).replace(type(self._bark).__name__, type(self).__name__)

    @property
    def device(self) -> torch.device:
        """Where `generate` puts its result: the device that runs the graphs, if PyTorch has it."""
        on_gpu = self._bark.describe().provider == "cuda" and torch.cuda.is_available()
        return torch.device("cuda:0" if on_gpu else "cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Type of the samples, whatever the precision of the graphs."""
        return torch.float32

    @classmethod
    def can_generate(cls) -> bool:
        """Whether there is a `generate`."""
        return True

    def processor(self) -> BarkProcessor:
        """A processor with the bundle's tokenizer, for texts and the arrays of a voice."""
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(self._bark.bundle.tokenizer_path()))
        known = _PADDING in tokenizer.get_vocab()
        tokenizer.pad_token = _PADDING if known else tokenizer.convert_ids_to_tokens(0)
        return BarkProcessor(tokenizer)

    def voice_preset(self, voice: str) -> dict[str, Tokens]:
        """A voice of the bundle in the form that `BarkProcessor` takes as `voice_preset`.

        Args:
            voice: Name, language such as "german", or path of an .npz file.

        Raises:
            VoiceError: The voice is unknown or malformed.
        """
        found = self._bark.voice(voice)
        return {
            key: getattr(found, key).copy() for key in _VOICE_KEYS
        }  # PyTorch wants writable ones

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.Tensor,
        history_prompt: Mapping[str, Any] | None = None,
        return_output_lengths: bool | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor | tuple[torch.Tensor, list[int]]:
        """Generate speech as `BarkModel.generate` does, token for token in fp32 without sampling.

        Sampling draws its seeds from PyTorch, so `set_seed` and `torch.manual_seed` repeat it.

        Args:
            input_ids: Ids of `BarkProcessor`, (batch, n); the first 256 are read.
            history_prompt: Voice that all rows continue: three arrays, as from `BarkProcessor`.
            return_output_lengths: Whether each row is decoded to its own length, and the lengths
                are returned.
            attention_mask: 1 for text, 0 for padding, (batch, n).
            **kwargs: do_sample, temperature, top_k and top_p, with the prefix of a stage or for all
                of them; semantic_max_new_tokens; min_eos_p.

        Returns:
            Samples, float32 (batch, samples), each row as long as the longest; with
            `return_output_lengths`, the number of samples of each row, too.

        Raises:
            BarkError: An argument is unknown, unsupported or out of range.
        """
        rows = self._rows(input_ids, attention_mask)
        options = self._reader.read(kwargs, self.generation_config)
        samples_anything = options.semantic_do_sample or options.coarse_do_sample
        seeds = [0] * len(rows)
        if samples_anything or options.fine_temperature != 1.0:
            seeds = torch.randint(_SEED_LIMIT, (len(rows),)).tolist()
        speeches = self._bark.generate_batch(
            rows,
            voice=_voice_arrays(history_prompt),
            seeds=seeds,
            options=options,
            trims=bool(return_output_lengths),
        )
        lengths = [len(speech.samples) for speech in speeches]
        audio = torch.zeros(len(rows), max(lengths))
        for row, speech in zip(audio, speeches, strict=True):
            row[: len(speech.samples)] = torch.from_numpy(speech.samples)
        audio = audio.to(self.device)
        return (audio, lengths) if return_output_lengths else audio

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the model, which is where and what is asked for.

        Raises:
            OptionsError: Another device or type is asked for: a loaded bundle cannot be moved.
        """
        asked = torch.empty(0, device=self.device, dtype=self.dtype).to(*args, **kwargs)
        if asked.device != self.device:
            raise OptionsError(
                f"the bundle runs on {self.device} and cannot be moved to {asked.device}; "
                f'{_LOAD_AGAIN}, or give the pipeline device="{self.device}"'
            )
        if asked.dtype != self.dtype:
            raise OptionsError(f"the bundle cannot be converted to {asked.dtype}; {_LOAD_AGAIN}")
        return self

    def close(self) -> None:
        """Free the graphs."""
        self._bark.close()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """What `cuda()`, `half()` and the like call."""
        del fn, recurse
        raise OptionsError(f"a loaded bundle is neither moved nor converted; {_LOAD_AGAIN}")

    def _rows(self, input_ids: Any, attention_mask: Any) -> list[Tokens]:
        """Ids of each row, with the text's pad token where the mask is 0."""
        ids = _array("input_ids", input_ids)
        masked = np.zeros_like(ids, np.bool_)
        if attention_mask is not None:
            masked = _array("attention_mask", attention_mask) == 0
        if masked.shape != ids.shape:
            raise OptionsError(
                f"attention_mask has shape {masked.shape}, expected {ids.shape} as of input_ids"
            )
        semantic = self._bark.bundle.manifest.generation.semantic
        wrong = ids[((ids < 0) | (ids >= semantic.text_vocabulary)) & ~masked]
        if wrong.size:
            raise OptionsError(
                f"input_ids has the value {wrong[0]}, expected 0 to "
                f"{semantic.text_vocabulary - 1}; use the tokenizer of the checkpoint"
            )
        ids[masked] = semantic.text_vocabulary  # becomes the pad token
        return [*ids[:, : semantic.max_input_semantic_length]]


def _array(name: str, tensor: Any) -> Tokens:
    if isinstance(tensor, torch.Tensor):
        tensor = tensor.cpu().numpy()
    if not isinstance(tensor, np.ndarray) or tensor.dtype.kind not in "iu" or tensor.ndim != 2:
        raise OptionsError(
            f"{name} is {type(tensor).__name__}, expected integers of shape (batch, n) as from "
            'BarkProcessor with return_tensors="pt"'
        )
    if not tensor.size:
        raise OptionsError(f"{name} has shape {tensor.shape}, expected at least one token")
    return tensor.astype(np.int64)


def _voice_arrays(history_prompt: Any) -> dict[str, Any] | None:
    if history_prompt is None:
        return None
    if not isinstance(history_prompt, Mapping):
        raise VoiceError(
            f"history_prompt is {type(history_prompt).__name__}, expected a dict of "
            f"{', '.join(_VOICE_KEYS)} as from BarkProcessor: one voice for all texts of a batch"
        )
    return {
        key: value.cpu().numpy() if isinstance(value, torch.Tensor) else value
        for key, value in history_prompt.items()
        if key in _VOICE_KEYS
    }
