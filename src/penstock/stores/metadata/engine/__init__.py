"""What runs the statements: the backends, the one writer, the schema and its migrations."""
