"""Speech as audio: samples, sound files, streams, players, plots."""
