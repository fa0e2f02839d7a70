"""Observation: lists, watches and the store they fill."""
