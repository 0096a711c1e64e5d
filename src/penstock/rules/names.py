"""Ids, tokens and names for people; randomness is passed in as a function like ``os.urandom``."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

RandomBytes = Callable[[int], bytes]

TOKEN_PREFIX = "pst_"
_ADJECTIVES = [
    "amber",
    "brave",
    "bright",
    "brisk",
    "calm",
    "clear",
    "clever",
    "cool",
    "crisp",
    "deep",
    "eager",
    "early",
    "fair",
    "fleet",
    "fresh",
    "gentle",
    "glad",
    "golden",
    "good",
    "green",
    "happy",
    "honest",
    "jolly",
    "keen",
    "kind",
    "lively",
    "loyal",
    "lucky",
    "mellow",
    "merry",
    "mild",
    "neat",
    "nimble",
    "noble",
    "olive",
    "patient",
    "plain",
    "polite",
    "proud",
    "quick",
    "quiet",
    "rapid",
    "red",
    "ripe",
    "rosy",
    "round",
    "sharp",
    "shiny",
    "silent",
    "silver",
    "smart",
    "smooth",
    "snowy",
    "solid",
    "steady",
    "still",
    "strong",
    "sunny",
    "swift",
    "tidy",
    "warm",
    "wise",
    "young",
]
_NOUNS = [
    "acorn",
    "anchor",
    "apple",
    "arrow",
    "badger",
    "bamboo",
    "beach",
    "bird",
    "birch",
    "boat",
    "bridge",
    "brook",
    "camel",
    "canyon",
    "cedar",
    "cherry",
    "cliff",
    "cloud",
    "clover",
    "comet",
    "coral",
    "crane",
    "creek",
    "daisy",
    "deer",
    "dune",
    "eagle",
    "falcon",
    "feather",
    "fern",
    "field",
    "finch",
    "flame",
    "forest",
    "fox",
    "garden",
    "glade",
    "grape",
    "harbor",
    "hazel",
    "heron",
    "hill",
    "island",
    "ivy",
    "jungle",
    "lake",
    "lantern",
    "leaf",
    "lemon",
    "lily",
    "lion",
    "maple",
    "meadow",
    "mill",
    "moon",
    "moss",
    "oak",
    "ocean",
    "orange",
    "otter",
    "owl",
]


def new_id(random_bytes: RandomBytes) -> str:
    """Return 32 hex digits, MLflow's own form of a run id."""
    return random_bytes(16).hex()


def new_token(random_bytes: RandomBytes) -> str:
    """Return ``pst_`` and 43 letters that are safe in URLs: 256 random bits."""
    return TOKEN_PREFIX + base64.urlsafe_b64encode(random_bytes(32)).decode().rstrip("=")


def new_token_id(random_bytes: RandomBytes) -> str:
    """Return ``t-`` and 16 hex digits, by which a token is spoken of."""
    return f"t-{random_bytes(8).hex()}"


def hash_token(token: str) -> str:
    """Return the SHA-256 in hex under which a token or key is kept; 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_display_name(random_bytes: RandomBytes) -> str:
    """Return a name for people, such as ``brave_otter_3f9c1d``."""
    chosen = random_bytes(7)
    adjective = _ADJECTIVES[int.from_bytes(chosen[:2], "big") % len(_ADJECTIVES)]
    noun = _NOUNS[int.from_bytes(chosen[2:4], "big") % len(_NOUNS)]
    return f"{adjective}_{noun}_{chosen[4:].hex()}"


def attempt_id(job_name: str, number: int) -> str:
    """Return the id of a job's n-th attempt; fits in a file name where the job's name does."""
    return f"{job_name}.{number}"
