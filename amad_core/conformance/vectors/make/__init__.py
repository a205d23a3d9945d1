"""What makes the golden vectors. Nothing here is imported while vectors are read or checked."""
