"""The EnCodec decoder as a module that traces to operators of every ONNX Runtime provider."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.onnx import ops

from bark_onnx.graphs.shapes import CodecShape


class CodecGraph(nn.Module):
    """Decodes codes to a waveform.

    Args:
        model: `EncodecModel` of transformers.
        shape: Sizes of the model.

    Source: `EncodecDecoder` of transformers, with the same arithmetic in a form that traces.
    """

    offsets: Tensor  # (codebooks,), first row of each codebook in the joined table

    def __init__(self, model: Any, shape: CodecShape) -> None:
        super().__init__()
        used = model.quantizer.layers[: shape.num_codebooks]
        self.codebooks = nn.Parameter(torch.cat([layer.codebook.embed for layer in used]))
        self.register_buffer(
            "offsets", torch.arange(shape.num_codebooks) * shape.codebook_size, persistent=False
        )
        self.layers = nn.ModuleList([_traceable(layer) for layer in model.decoder.layers])

    def forward(self, codes: Tensor) -> Tensor:
        """Waveform (batch, samples_per_frame * frames) of codes (batch, codebooks, frames)."""
        rows = nn.functional.embedding(codes + self.offsets[:, None], self.codebooks)
        hidden = rows.sum(1).transpose(1, 2)  # (batch, channels, frames)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden[:, 0]


def _traceable(layer: Any) -> Any:
    forms = {
        "EncodecConv1d": _Convolution,
        "EncodecConvTranspose1d": _Upsampling,
        "EncodecLSTM": _Lstm,
        "EncodecResnetBlock": _Residual,
    }
    kind = type(layer).__name__
    return layer if kind in ("ELU", "Identity") else forms[kind](layer)


def _without_weight_norm(convolution: nn.Conv1d) -> nn.Conv1d:
    """Fold the weight norm of a convolution into its weight."""
    if parametrize.is_parametrized(convolution):
        parametrize.remove_parametrizations(convolution, "weight")
    return convolution


class _Convolution(nn.Module):
    """`EncodecConv1d` with stride 1, padded on the left by reflection."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.convolution = _without_weight_norm(layer.conv)
        self.padding = (self.convolution.kernel_size[0] - 1) * self.convolution.dilation[0]

    def forward(self, hidden: Tensor) -> Tensor:
        return self.convolution(_reflect_past(hidden, self.padding) if self.padding else hidden)


def _reflect_past(hidden: Tensor, padding: int) -> Tensor:
    """Pad on the left by reflection, also for inputs shorter than the padding.

    Those are extended by zeros first, as in `EncodecConv1d._pad1d`. ONNX Runtime's own reflect
    padding reads outside of such inputs (microsoft/onnxruntime#8265).
    """
    beginning = nn.functional.pad(hidden[..., : padding + 1], (0, padding))
    return torch.cat([beginning[..., 1 : padding + 1].flip(-1), hidden], dim=-1)


class _Upsampling(nn.Module):
    """`EncodecConvTranspose1d`, with all padding trimmed from the right."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.convolution = _without_weight_norm(layer.conv)
        self.trim = self.convolution.kernel_size[0] - self.convolution.stride[0]

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.convolution(hidden)
        return hidden[..., : hidden.shape[-1] - self.trim]


class _Residual(nn.Module):
    """`EncodecResnetBlock`."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.block = nn.ModuleList([_traceable(inner) for inner in layer.block])
        self.shortcut = _traceable(layer.shortcut)

    def forward(self, hidden: Tensor) -> Tensor:
        residual = hidden
        for inner in self.block:
            hidden = inner(hidden)
        return self.shortcut(residual) + hidden


class _Lstm(nn.Module):
    """`EncodecLSTM` through the ONNX operator: tracing `nn.LSTM` would fix the sequence length."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        lstm = layer.lstm
        self.hidden_size = lstm.hidden_size
        self.num_layers = lstm.num_layers
        for layer in range(lstm.num_layers):
            weights = [
                _gates_in_onnx_order(getattr(lstm, f"{name}_l{layer}").detach())
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            self.register_parameter(f"input_{layer}", nn.Parameter(weights[0][None]))
            self.register_parameter(f"recurrent_{layer}", nn.Parameter(weights[1][None]))
            self.register_parameter(f"bias_{layer}", nn.Parameter(torch.cat(weights[2:])[None]))

    def forward(self, hidden: Tensor) -> Tensor:
        sequence = hidden.permute(2, 0, 1)  # (frames, batch, channels)
        output = sequence
        for layer in range(self.num_layers):
            frames, batch, _ = output.shape
            weights = [getattr(self, f"{name}_{layer}") for name in ("input", "recurrent", "bias")]
            output = ops.symbolic(
                "LSTM",
                (output, *weights),
                {"hidden_size": self.hidden_size},
                dtype=output.dtype,
                shape=(frames, 1, batch, self.hidden_size),
            ).squeeze(1)
        return (output + sequence).permute(1, 2, 0)


def _gates_in_onnx_order(weight: Tensor) -> Tensor:
    """Torch orders gates input, forget, cell, output; ONNX input, output, forget, cell."""
    entry, forget, cell, output = weight.chunk(4)
    return torch.cat([entry, output, forget, cell])
