"""Rows: the promise, its backends, and the statements that ask and change them."""
