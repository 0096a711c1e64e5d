"""The protocols a deployed model answers in; see docs/how-to/protocols.md. No file but ``paths`` is light."""
