"""Public data sets in the formats that they are published in."""
