"""Generators of files that are in the repository: the Helm chart, the dashboard, schemas, docs, pictures."""
