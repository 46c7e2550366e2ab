"""What the notebooks share, and what runs them.

Sizes, kept values, verdicts, figures, and the runner with its page.
"""
