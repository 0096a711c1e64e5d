"""Where rows and bytes live, one folder a seam: ``base.py`` is the promise, each other file one backend."""
