"""`python -m bark_onnx.export` is `bark-export`."""

from bark_onnx.export.cli import main

main()
