"""The tests; what several of them share is in ``tests.support``, imported by its full name."""
