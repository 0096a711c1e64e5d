"""Penstock's own REST under ``/api/v1``: one file per noun."""
