"""Charts as SVG that takes its colours from the page, so that they read in light and dark."""
