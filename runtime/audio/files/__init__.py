"""Sound files: table of formats, paths, atomic writing."""
