"""Policies under test: what happens is written down, and what the controller must never do.

``grammar`` is what a test file may say, ``reading`` turns it into tests with every mistake at its
line, ``stage`` plays one on the embedded cluster in virtual time, ``observation`` is what was seen,
``expectations`` judges it, ``runner`` runs many side by side.
"""
