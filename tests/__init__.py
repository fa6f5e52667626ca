"""The specification: a class per thing, a test per rule, the rule as its name."""
