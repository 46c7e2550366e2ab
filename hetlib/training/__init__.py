"""Experiments: settings in, a record out."""
