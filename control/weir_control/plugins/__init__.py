"""Plugins as control sees them: whether they can start, what they are, what workers say of them."""
