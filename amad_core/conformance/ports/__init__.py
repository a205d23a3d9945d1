"""Ports: found, loaded, called in this process or another, whatever framework they are in."""
