"""Reads checkpoints: the Hugging Face layout, Suno's files, EnCodec, tokenizers, voices."""
