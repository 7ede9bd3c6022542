"""The collector workers: who handles an event, and what the database keeps of it."""
