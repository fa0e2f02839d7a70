"""The actions: one file an action, behind one dict."""
