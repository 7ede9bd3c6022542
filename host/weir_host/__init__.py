"""The gateway's end of a plugin's life: starting, calling, changing and stopping it."""
