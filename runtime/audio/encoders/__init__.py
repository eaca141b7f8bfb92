"""Encoders: samples to bytes, one protocol over libsndfile and FFmpeg."""
