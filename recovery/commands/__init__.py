"""One sub-command a file: read input, call, print."""
