"""Conformance suites, one a seam: a new backend is a subclass and a fixture. They need the `test` extra."""
