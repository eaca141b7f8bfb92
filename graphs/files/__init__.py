"""What every format uses: atomic writing, JSON as dataclasses, files of the hub."""
