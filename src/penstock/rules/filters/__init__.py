"""Filters and orders of searches: two grammars, one tree."""
