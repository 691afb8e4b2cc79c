"""Texts of items as vectors: sentence-embedding models and mean-pooled states of language models."""
