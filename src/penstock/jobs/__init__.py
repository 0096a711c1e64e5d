"""Jobs: submitting, starting, watching, reporting and ending them; their history."""
