"""The version, in a file of its own so that every floor can read it without loading the public names."""

__version__ = "0.1.0"
