"""Records kept: recoveries, the checkpoint, Events, audit lines, metrics."""
