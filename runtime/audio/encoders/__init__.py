"""Encoders of sound: samples to bytes, one protocol over libsndfile and FFmpeg."""
