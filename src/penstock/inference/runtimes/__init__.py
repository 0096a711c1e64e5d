"""Ways of running a model; ``base.py`` holds the promise."""
