"""Look, don't touch: health, metrics and the read-only API."""
