"""The letter: uneven shares that train as one process with the whole batch does."""
