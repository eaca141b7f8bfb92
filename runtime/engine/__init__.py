"""The engine: one thread that runs the stages for every request at once."""
