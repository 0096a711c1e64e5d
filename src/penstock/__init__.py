"""Penstock: a self-hosted machine-learning platform."""

__version__ = "0.1.0"
