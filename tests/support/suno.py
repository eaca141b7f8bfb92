"""Suno's own files, EnCodec's original file, and the same weights in the Hugging Face layout."""

import json
import pickle
import re
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_model
from torch import nn
from transformers import BarkModel

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.checkpoints.sources import SourceOptions, open_source
from bark_onnx.export.random_bark import RandomBark, random_model, write_checkpoint

VOCABULARY = 119_547  # entries of bert-base-multilingual-cased
SUNO = {"bias": False, "text_vocabulary": VOCABULARY, "max_new_tokens": 768}
# Sizes differ by stage, as with a mixture of small and large files.
SIZES = {
    "semantic": RandomBark(num_layers=1, num_heads=2, hidden_size=32, seed=11, **SUNO),
    "coarse_acoustics": RandomBark(num_layers=2, num_heads=3, hidden_size=48, seed=12, **SUNO),
    "fine_acoustics": RandomBark(num_layers=1, num_heads=2, hidden_size=64, seed=13, **SUNO),
}
STAGES = {"text": "semantic", "coarse": "coarse_acoustics", "fine": "fine_acoustics"}


@dataclass(frozen=True)
class Twins:
    """One Bark in both layouts."""

    model: BarkModel
    suno: Path  # text.pt, coarse.pt, fine_2.pt
    huggingface: Path
    codec: Path  # the .th file
    tokenizer: Path  # a folder

    @property
    def arguments(self) -> tuple[str, ...]:
        """Options of bark-export for Suno's folder."""
        return ("--codec", str(self.codec), "--tokenizer", str(self.tokenizer))


def open_suno(folder: Path, twins: Twins, **options: Any) -> Checkpoint:
    return open_source(str(folder), SourceOptions(codec=str(twins.codec), **options))


def write_twins(folder: Path) -> Twins:
    """Write the same random weights in both layouts."""
    model = mixed_model()
    twins = Twins(
        model,
        *(folder / name for name in ("suno", "huggingface", "encodec_24khz.th", "tokenizer")),
    )
    twins.suno.mkdir(parents=True)
    for name, stage in STAGES.items():
        file = f"{name}_2.pt" if name == "fine" else f"{name}.pt"
        write_stage(twins.suno / file, getattr(model, stage))
    write_encodec(twins.codec, model.codec_model)
    twins.tokenizer.mkdir()
    words = [*("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), "hello", "Hello", ",", "dog"]
    words += [f"word{number}" for number in range(VOCABULARY - len(words))]
    (twins.tokenizer / "vocab.txt").write_text("\n".join(words) + "\n")
    write_checkpoint(twins.huggingface, SIZES["semantic"])
    save_model(model, str(twins.huggingface / "model.safetensors"), metadata={"format": "pt"})
    config = json.loads((twins.huggingface / "config.json").read_text())
    for stage in ("coarse_acoustics", "fine_acoustics"):
        config[f"{stage}_config"] = getattr(SIZES[stage].config(), f"{stage}_config").to_dict()
    (twins.huggingface / "config.json").write_text(json.dumps(config))
    (twins.huggingface / "vocab.txt").write_text((twins.tokenizer / "vocab.txt").read_text())
    return twins


def mixed_model() -> BarkModel:
    """A Bark whose stages have different sizes."""
    model = random_model(SIZES["semantic"])
    for stage in ("coarse_acoustics", "fine_acoustics"):
        setattr(model, stage, getattr(random_model(SIZES[stage]), stage))
    return model


def suno_name(name: str) -> str:
    """Suno's name of a tensor of transformers' semantic, coarse or fine model."""
    if name.startswith("lm_head"):
        return name
    for theirs, sunos in {
        "input_embeds_layers": "wtes",
        "input_embeds_layer": "wte",
        "position_embeds_layer": "wpe",
        "layernorm_final": "ln_f",
        "layernorm": "ln",
        "layers": "h",
        "att_proj": "c_attn",
        "out_proj": "c_proj",
        "in_proj": "c_fc",
    }.items():
        name = re.sub(rf"\b{theirs}(?=[._])", sunos, name)
    return f"transformer.{name}"


def contents(module: nn.Module) -> dict[str, Any]:
    """Contents of a stage's file, as saved by Suno's trainer."""
    config = module.config
    arguments = {
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_embd": config.hidden_size,
        "block_size": config.block_size,
        "bias": config.bias,
        "dropout": 0.0,
    }
    if config.input_vocab_size == config.output_vocab_size:
        arguments["vocab_size"] = config.input_vocab_size
    else:
        arguments["input_vocab_size"] = config.input_vocab_size
        arguments["output_vocab_size"] = config.output_vocab_size
    if config.model_type == "fine_acoustics":
        arguments |= {"n_codes_total": config.n_codes_total, "n_codes_given": config.n_codes_given}
    state = {f"_orig_mod.{suno_name(name)}": tensor for name, tensor in module.state_dict().items()}
    if config.model_type != "fine_acoustics":
        # Masks, as stored without flash attention; wrong, so that reading them would show.
        for layer in range(config.num_layers):
            state[f"_orig_mod.transformer.h.{layer}.attn.bias"] = torch.zeros(1, 1, 8, 8)
    return {
        "model": state,
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(64)}}},
        "model_args": arguments,
        "iter_num": 7,
        "best_val_loss": np.float64(2.901),
        "config": {"out_dir": "out", "compile": True},
    }


def write_stage(path: Path, module: nn.Module, **changes: Any) -> None:
    """Write a .pt file as Suno did, with changes."""
    torch.save({**contents(module), **changes}, path, pickle_module=NUMPY_1)


class _Numpy1Pickler(pickle._Pickler):
    """Names numpy's scalar as numpy 1, with which Suno wrote its files."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if getattr(obj, "__module__", None) == "numpy._core.multiarray":
            self.write(f"cnumpy.core.multiarray\n{obj.__name__}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)


NUMPY_1 = types.ModuleType("pickle_of_numpy_1")
NUMPY_1.Pickler = _Numpy1Pickler


def write_encodec(path: Path, codec: nn.Module, **options: Any) -> None:
    """Write the state of transformers' `EncodecModel` as `encodec.EncodecModel` names it."""
    torch.save(encodec_state(codec), path, **options)


def encodec_state(codec: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of `encodec.EncodecModel`, training statistics of the codebooks included."""
    state = {}
    for name, tensor in codec.state_dict().items():
        parts = name.replace("parametrizations.weight.original0", "weight_g")
        parts = parts.replace("parametrizations.weight.original1", "weight_v").split(".")
        if parts[0] == "quantizer":
            layer, statistic = parts[2], parts[4]
            state[f"quantizer.vq.layers.{layer}._codebook.{statistic}"] = tensor
            continue
        network, number, *rest = (parts[0], *parts[2:])
        if rest[0] == "conv" and network == "decoder" and number not in ("0", "15"):
            rest = ["convtr", "convtr", *rest[1:]]
        elif "conv" in rest:
            rest.insert(rest.index("conv"), "conv")
        state[".".join((network, "model", number, *rest))] = tensor
    return state
