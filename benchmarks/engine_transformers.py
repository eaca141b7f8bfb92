"""`BarkModel.generate` of transformers, with its stages and prefills timed."""

import time
from typing import Any

import numpy as np
import torch
from meter import TEXT, Generate, Measured, Meter
from models import bundle_folder, checkpoint_folder
from transformers import BarkModel

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from bark_onnx.runtime.voices.library import VoiceLibrary

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_VOICE = ("semantic_prompt", "coarse_prompt", "fine_prompt")


def open_transformers(precision: str, size: str, threads: int, device: str) -> Generate:
    """Load a checkpoint; it generates the utterance with the inputs that bark-onnx has."""
    torch.set_num_threads(threads)
    dtype = _DTYPES[precision]
    model = BarkModel.from_pretrained(checkpoint_folder(size), dtype=dtype).eval().to(device)
    bundle = Bundle(bundle_folder(size), verify=False)
    text, history = _inputs(bundle, device)
    meter = Meter()
    seconds: dict[str, float] = {}
    _time(model.semantic, "generate", "semantic", seconds)
    _time(model.coarse_acoustics, "generate", "coarse", seconds)
    _time(model.fine_acoustics, "generate", "fine", seconds)
    _time(model, "codec_decode", "codec", seconds)
    _meter_prefills(model.semantic, "semantic", meter)
    _meter_prefills(model.coarse_acoustics, "coarse", meter)
    generated: dict[str, int] = {}
    model.coarse_acoustics.generate = _counted(model.coarse_acoustics.generate, generated)

    def generate(tokens: int, voice: bool) -> Measured:
        meter.reset()
        samples = model.generate(
            **text,
            history_prompt=history if voice else None,
            semantic_do_sample=False,
            coarse_do_sample=False,
            fine_temperature=None,
            semantic_max_new_tokens=tokens,
        )
        assert np.isfinite(samples.float().cpu().numpy()).all()
        return meter.measured(dict(seconds), {"semantic": tokens, "coarse": generated["coarse"]})

    return generate


def _inputs(bundle: Bundle, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The text as the processor of transformers passes it, and a voice."""
    ids = torch.from_numpy(TextTokenizer.from_bundle(bundle).encode(TEXT))
    length = bundle.manifest.generation.semantic.max_input_semantic_length
    input_ids = torch.zeros((1, length), dtype=torch.long)
    input_ids[0, : len(ids)] = ids
    mask = (torch.arange(length) < len(ids)).long()[None]
    voice = VoiceLibrary(bundle).load(bundle.voice_names()[0]).voice
    history = {key: torch.tensor(getattr(voice, key), device=device) for key in _VOICE}
    return {"input_ids": input_ids.to(device), "attention_mask": mask.to(device)}, history


def _time(owner: Any, attribute: str, stage: str, seconds: dict[str, float]) -> None:
    function = getattr(owner, attribute)

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = _now()
        result = function(*args, **kwargs)
        seconds[stage] = _now() - started
        return result

    setattr(owner, attribute, timed)


def _now() -> float:
    """Current time, after all work of the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _counted(generate: Any, generated: dict[str, int]) -> Any:
    def counted(*args: Any, **kwargs: Any) -> Any:
        tokens = generate(*args, **kwargs)
        generated["coarse"] = tokens.numel()
        return tokens

    return counted


def _meter_prefills(model: Any, stage: str, meter: Meter) -> None:
    started = 0.0

    def before(*_: Any) -> None:
        nonlocal started
        started = _now()

    def after(_: Any, __: Any, output: Any) -> None:
        tokens = output.logits.shape[1]
        if tokens > 1:
            meter.prefills[stage].add(tokens, _now() - started)

    model.register_forward_pre_hook(before)
    model.register_forward_hook(after)
