"""The streams app: what is spent in each window of time, and alerts about it. Only ``cli`` may import it."""
