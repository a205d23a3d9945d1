"""What a port is asked: cases, the terms it is judged by, and where the cases come from."""
