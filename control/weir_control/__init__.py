"""The management plane: the API, the store behind it, and the publication of what it says."""
