"""The judgement: pure functions from a situation to decisions. No clock, no I/O, no logging."""
