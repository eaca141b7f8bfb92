"""Voices by name: aliases, the library of a bundle, inspection, import."""
