"""Options of the model and of the hardware that it runs on."""

import click

from bark_onnx.graphs.command_line import add_options, grouped_option
from bark_onnx.graphs.precisions import PRECISIONS
from bark_onnx.runtime.cli.options.common import LOW_MEMORY_HELP
from bark_onnx.runtime.inference.sessions import PROVIDERS

HARDWARE = ("provider", "precision", "threads", "low_memory")  # arguments of `Bark.load`
model_option = grouped_option("Model and hardware")

hardware_options = add_options(
    model_option(
        "--provider",
        type=click.Choice(PROVIDERS),
        default="auto",
        show_default=True,
        help="Where the graphs run; auto: CUDA if it starts.",
    ),
    model_option(
        "--precision",
        metavar="NAME",
        help=f"Precision of the graphs: {', '.join(PRECISIONS)}. Default: the fastest.",
    ),
    model_option(
        "--threads",
        type=int,
        help="CPU threads; more than cores are far slower. Default: one per physical core.",
    ),
    model_option("--low-memory", is_flag=True, help=LOW_MEMORY_HELP),
)
