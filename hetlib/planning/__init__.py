"""Who gets how much: speeds measured, shares planned, plans that follow the speeds."""
