"""Versioned, immutable things: the registry, what references hold, what a model folder is."""
