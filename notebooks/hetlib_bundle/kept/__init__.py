"""What the notebooks keep: values and records, tables and figures with their captions."""
