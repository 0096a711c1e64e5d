from __future__ import annotations

import os

from penstock.agent.notes import noter


def test_a_note_has_a_line_of_its_own(tmp_path):
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    note = noter(descriptor)
    note("first")
    note("second")
    os.write(descriptor, b"no end")
    note("third")
    note("fourth")
    os.close(descriptor)
    assert path.read_text() == "penstock: first\npenstock: second\nno end\npenstock: third\npenstock: fourth\n"


def test_what_is_no_file_gets_its_note_too(tmp_path):
    reading, writing = os.pipe()
    noter(writing)("said")
    assert os.read(reading, 100) == b"penstock: said\n"
    nothing = os.open(os.devnull, os.O_WRONLY)
    noter(nothing)("into nothing")
    for descriptor in (reading, writing, nothing):
        os.close(descriptor)
