"""What Penstock promises, measured; one question per file. Run all with ``make bench``."""
