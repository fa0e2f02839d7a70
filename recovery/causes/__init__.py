"""From what Argo CD and Kubernetes say to why it is so: pure recognisers beside one table of causes
and cures."""
