"""What single notebooks compute beyond the library."""
