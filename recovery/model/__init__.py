"""The words: frozen values that every stage shares, nothing that acts."""
