"""What the notebooks share, and what runs them: sizes, verdicts, figures, saved products, runner and page."""
