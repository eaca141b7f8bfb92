"""Execution providers: what runs the graphs, and what each of them needs."""
