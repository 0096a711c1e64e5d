"""Permanent deletion: rows first, then the content that nothing names any more."""
