"""The event path: from one durable append in the proxy to whoever reads the log."""
