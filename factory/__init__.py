"""How is it computed: pure functions from frozen values to frozen values.

Nothing here opens a file, asks the clock or uses unseeded randomness.
"""
