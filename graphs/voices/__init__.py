"""Voices: arrays, files, provenance, and folders of published presets."""
