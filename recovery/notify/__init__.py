"""Telling people: one queue, one retry rule, one file a kind of channel."""
