"""Which GPU, driver and libraries there are, and whether CUDA starts in silence."""

from importlib.metadata import PackageNotFoundError, version

from machine import describe_machine, query_gpu

from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.providers.cuda import CudaProvider
from gpu.day import Day, Notes
from gpu.opening import printed_by_libraries

_LEAST_DRIVER = 580  # for CUDA 13
_PACKAGES = (
    "onnxruntime-gpu",
    "nvidia-cudnn-cu13",
    "nvidia-cublas",
    "nvidia-cuda-runtime",
    "torch",
    "transformers",
    "numpy",
)


def run(_: Day, notes: Notes) -> None:
    """See the module."""
    driver = query_gpu("driver_version")
    notes.add(
        "driver",
        driver,
        expected=f"{_LEAST_DRIVER} or newer",
        holds=driver is not None and int(driver.partition(".")[0]) >= _LEAST_DRIVER,
    )
    for name in ("name", "compute_cap", "memory.total", "clocks.max.sm", "pcie.link.gen.current"):
        notes.add(f"GPU, {name}", query_gpu(name))
    notes.add("machine", describe_machine())
    for package in _PACKAGES:
        notes.add(package, _version(package))
    onnxruntime = import_onnxruntime()
    notes.add("onnxruntime, build", onnxruntime.get_build_info())
    available = onnxruntime.get_available_providers()
    notes.add(
        "providers",
        available,
        expected="CUDAExecutionProvider among them",
        holds="CUDAExecutionProvider" in available,
    )
    with printed_by_libraries() as lines:
        notes.attempt("start of CUDA", CudaProvider().start)
    notes.check("lines that the start of CUDA prints to stdout", lines, [])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
