"""For whom, and what did they choose: rules only, no disk and no database."""
