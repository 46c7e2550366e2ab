"""What runs the notebooks as one bundle and makes its page; not part of the library that others install."""
