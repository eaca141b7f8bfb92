"""transformers in fp16 on the same GPU: seconds of audio a second, from one sequence to many."""

import time
from typing import Any

import torch
from meter import TEXT
from models import bundle_folder, checkpoint_folder
from transformers import BarkModel

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from gpu.day import Day, Notes


def run(day: Day, notes: Notes, size: str) -> None:
    """See the module. Ends where PyTorch finds no GPU."""
    if not torch.cuda.is_available():
        raise SystemExit(f"torch {torch.__version__} finds no GPU")
    bundle = Bundle(bundle_folder(size), verify=False)
    model = BarkModel.from_pretrained(checkpoint_folder(size), dtype=torch.float16)
    model = model.eval().to("cuda")
    for count in day.batch_sizes:
        rates = []
        for _ in range(2 if count == 1 else 1):  # the first of all warms up
            rates.append(_rate(model, bundle, day, count))
        notes.add(f"audio seconds a second, {size}, {count} sequences", rates[-1])
    notes.add(f"MB on the GPU at most, {size}", torch.cuda.max_memory_allocated() / 2**20)


def _rate(model: Any, bundle: Bundle, day: Day, count: int) -> float:
    ids = torch.from_numpy(TextTokenizer.from_bundle(bundle).encode(TEXT))
    length = bundle.manifest.generation.semantic.max_input_semantic_length
    input_ids = torch.zeros((count, length), dtype=torch.long)
    input_ids[:, : len(ids)] = ids
    mask = (torch.arange(length) < len(ids)).long()[None].repeat(count, 1)
    torch.manual_seed(0)
    torch.cuda.synchronize()
    started = time.perf_counter()
    samples, lengths = model.generate(
        input_ids=input_ids.to("cuda"),
        attention_mask=mask.to("cuda"),
        semantic_max_new_tokens=day.semantic_tokens,
        return_output_lengths=True,
    )
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    assert torch.isfinite(samples).all()
    audio = sum(int(each) for each in lengths) / model.generation_config.sample_rate
    return audio / seconds
