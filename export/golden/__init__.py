"""The conformance kit: what a port of Bark's loops to another language has to repeat."""
