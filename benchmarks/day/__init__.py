"""The day: what a lookup costs, against floors taken in the same run."""
