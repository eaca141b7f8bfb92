"""The subcommands of bark-onnx, one file each."""
