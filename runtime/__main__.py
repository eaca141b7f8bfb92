"""`python -m bark_onnx.runtime` is `bark-onnx`."""

from bark_onnx.runtime.cli.main import main

main()
