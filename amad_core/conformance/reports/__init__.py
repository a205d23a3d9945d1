"""The outcome of an examination: for people, for programs, for test suites."""
