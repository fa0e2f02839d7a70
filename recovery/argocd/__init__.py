"""The only door to Argo CD's own API."""
