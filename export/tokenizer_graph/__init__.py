"""A tokenizer.json as a graph: text in, the prompt of the semantic stage out."""
