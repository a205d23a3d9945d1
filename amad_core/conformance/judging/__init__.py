"""Answers held against the specification: tolerances, judgements, and the checks."""
