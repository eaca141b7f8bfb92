"""A bundle on disk: manifest, integrity checks, and opening."""
