"""Reads checkpoints: Hugging Face layouts, Suno's files, EnCodec, tokenizers, voices."""
