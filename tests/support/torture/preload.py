"""Imports what the commands need, once for all forks."""

import bark_onnx.export.bundle
import bark_onnx.export.checkpoints.sources
import bark_onnx.export.cli
import bark_onnx.export.random_bark
import bark_onnx.runtime.cli.command
import bark_onnx.runtime.cli.main
import bark_onnx.runtime.server.server  # noqa: F401
