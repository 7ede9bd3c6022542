"""What control runs for plugins: their studio halves, and what the edge sends to these."""
