"""Decoding: one step of many rows through a causal stage, and where each keeps its cache."""
