"""The ``weir`` command: the one place that wires the roles together and supervises their processes."""
