"""Decoders of the causal stages, one per cache strategy."""
