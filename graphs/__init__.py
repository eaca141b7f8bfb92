"""The bundle format: graphs and their contract, manifest, settings, voices. Knows no torch."""
