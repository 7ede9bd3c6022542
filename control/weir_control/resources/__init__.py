"""The resources of the management API, one module each."""
