"""Text to entity, with the author's line for everything that is wrong; never opens a file."""

from penstock.rules.specfile.document import Document, Place
from penstock.rules.specfile.load import load_entity, locate
from penstock.rules.specfile.overrides import apply_overrides
from penstock.rules.specfile.parse import parse_document

__all__ = [
    "Document",
    "Place",
    "apply_overrides",
    "load_entity",
    "locate",
    "parse_document",
]
