"""The nouns: frozen records, enums and errors; imports nothing of ours."""
