"""Audio on its way out: utterances, files and pipes that fill as they are spoken, and players."""
