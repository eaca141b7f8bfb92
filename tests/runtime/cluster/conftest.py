"""Tests of the cluster, which need Ray; those in `test_service.py` start one (`make test-ray`)."""

import contextlib
import warnings
from collections.abc import Iterator

import pytest

with warnings.catch_warnings(), contextlib.suppress(ModuleNotFoundError):
    warnings.simplefilter("ignore")  # Ray's own, when it is imported
    import ray.serve  # noqa: F401

from tests.support.cluster import ClusterProcess, serve_on_ray


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcess]:
    """`bark-onnx serve --ray` with two speaker replicas of the demo."""
    uploads = tmp_path_factory.mktemp("uploads")
    with serve_on_ray("--replicas", 2, "--uploads", uploads) as found:
        yield found
