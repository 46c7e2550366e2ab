"""Odd inputs, drawn from a seed: values, settings and files that are almost right, or not."""
