"""Audio on its way out: utterances, files that grow as they are spoken, and subtitles."""
