"""Who may do what: tokens, actors, the audit log's one entry point."""
