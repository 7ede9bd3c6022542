"""The data plane: one call's way from a client to an upstream and back, with hooks and events."""
