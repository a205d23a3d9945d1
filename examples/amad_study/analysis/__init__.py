"""What the records say: paired differences, tests, and a verdict for every hypothesis."""
