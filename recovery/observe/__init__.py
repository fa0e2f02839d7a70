"""What is: lists, watches and the store they fill."""
