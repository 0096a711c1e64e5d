"""``python -m penstock.cli``: the ``penstock`` command."""

from penstock.cli.main import main

main()
