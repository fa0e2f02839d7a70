"""What we keep: recoveries, the checkpoint, Events, audit lines, metrics."""
