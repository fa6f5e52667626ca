"""Where is it kept: disk and database, never the clock."""
