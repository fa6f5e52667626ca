"""When, and how many at once: the clock, the night, and the command line."""
