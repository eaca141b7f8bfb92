"""A bundle on disk: its manifest, its integrity, and how it is opened."""
