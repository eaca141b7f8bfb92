"""The torch modules that are traced, one per kind of graph."""
