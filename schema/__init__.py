"""What is it: the words, shapes and settings every other floor speaks in."""
