"""A drill: a throwaway Application is broken on purpose, on the user's own installation, and the
policies in force have to recover it or call a person."""
