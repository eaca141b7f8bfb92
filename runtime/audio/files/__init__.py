"""Sound files: formats, paths, atomic writing."""
