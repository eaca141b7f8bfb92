"""Voices by name: their languages, aliases, lists, checks, and how they come into a bundle."""
