"""Many texts from a file to a folder of sound files, resumed wherever a run ended."""
