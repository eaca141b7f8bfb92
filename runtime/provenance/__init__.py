"""How a sound was made: the record, the file tags that carry it, and its replay."""
