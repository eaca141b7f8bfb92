"""The command line: speak, voices, info, serve."""
