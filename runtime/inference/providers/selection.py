"""Selects the provider and the precision of a bundle."""

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BundleError, ProviderError
from bark_onnx.graphs.precisions import PRECISIONS, PREFERRED_PRECISIONS, UNSUPPORTED_HINT
from bark_onnx.runtime.inference.providers.cpu import CpuProvider
from bark_onnx.runtime.inference.providers.cuda import CudaProvider
from bark_onnx.runtime.inference.providers.provider import ExecutionProvider
from bark_onnx.runtime.inference.providers.webgpu import WebGpuDevice, WebGpuProvider

_WEBGPU = WebGpuDevice()
_ALL: tuple[ExecutionProvider, ...] = (
    CpuProvider(),
    CudaProvider(),
    WebGpuProvider(_WEBGPU),
    WebGpuProvider(_WEBGPU, low_power=True),
)
_BY_NAME = {provider.name: provider for provider in _ALL}

AUTO = "auto"  # CUDA if it starts and runs the bundle, otherwise the CPU
PROVIDERS = (AUTO, *_BY_NAME)


def check_provider(name: str) -> None:
    """Check the name of a provider.

    Raises:
        ProviderError: It is not one of `PROVIDERS`.
    """
    if name not in PROVIDERS:
        raise ProviderError(f"provider is {name!r}, expected one of {', '.join(PROVIDERS)}")


def select_provider(bundle: Bundle, name: str, precision: str | None) -> ExecutionProvider:
    """The provider of a name, which has been started.

    Args:
        bundle: Bundle that it runs.
        name: One of `PROVIDERS`.
        precision: Requested precision; None for any.

    Raises:
        ProviderError: It does not start.
    """
    cpu = _BY_NAME["cpu"]
    if name != AUTO:
        _BY_NAME[name].start()
        return _BY_NAME[name]
    cuda = _BY_NAME["cuda"]
    supported = _supported_precisions(bundle, cuda)
    if not supported or (precision is not None and precision not in supported):
        return cpu
    try:
        cuda.start()
    except ProviderError:
        return cpu
    return cuda


def select_precision(bundle: Bundle, provider: str, precision: str | None) -> str:
    """The requested precision, or the fastest one that a provider of this name supports.

    Raises:
        BundleError: The bundle lacks the requested precision.
        ProviderError: The provider does not support it, or none of the bundle's.
    """
    present = bundle.manifest.precisions
    if precision is not None and precision not in PRECISIONS:
        raise BundleError(
            f"precision {precision!r} is unknown, expected one of {', '.join(PRECISIONS)}; "
            f"{bundle.folder} has {', '.join(present)}"
        )
    if precision is not None and precision not in present:
        raise BundleError(
            f"{bundle.folder} has no {precision} graphs, only {', '.join(present)}; "
            f"export with --precision {precision}"
        )
    supported = _supported_precisions(bundle, _BY_NAME[provider])
    if precision is None and supported:
        return supported[0]
    if precision in supported:
        return precision
    found = precision or ", ".join(present)
    raise ProviderError(
        f"provider {provider} does not run {found} with {bundle.attention} attention; "
        f"{UNSUPPORTED_HINT[provider]}"
    )


def _supported_precisions(bundle: Bundle, provider: ExecutionProvider) -> list[str]:
    """Precisions of a bundle that a provider runs well, fastest first."""
    return [
        name
        for name in PREFERRED_PRECISIONS[provider.name]
        if name in bundle.manifest.precisions and provider.runs(name, bundle.attention)
    ]
