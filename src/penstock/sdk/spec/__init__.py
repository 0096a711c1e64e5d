"""Load what users write, resolve its files and references, and give closed specifications."""
