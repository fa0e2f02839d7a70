"""What we do: one file an action, behind one dict."""
