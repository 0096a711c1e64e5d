"""What commands run in: this interpreter, or a venv built and cached by content hash."""
