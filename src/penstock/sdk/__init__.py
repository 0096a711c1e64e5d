"""The client tower: what users hold; everything it does goes over HTTP."""
