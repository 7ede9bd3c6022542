"""The vocabulary every room of Weir shares, without I/O."""
