"""Load what users write, resolve its files and references, and give closed specifications.

Import the module that is needed: ``jobs``, ``assets``, ``endpoints``; ``uploader`` has the promise they need.
"""
