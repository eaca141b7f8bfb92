"""The torch modules to trace, one per kind of graph."""
