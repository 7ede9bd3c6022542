"""The wiring of each role: what it is made of, and the order in which that is opened and closed."""
