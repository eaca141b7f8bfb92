"""How a sound was generated: the record, the tags that store it, and its replay."""
