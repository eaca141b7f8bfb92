"""Voices: arrays, files, provenance, folders of published presets."""
