"""Where attempts run: process slots on this machine, and the interpreters and venvs they use."""
