"""The report as one web page that needs nothing else, and the figures of the documentation."""
