"""The notebooks as one bundle: run, watched, and shown on one page."""
