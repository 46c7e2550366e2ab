"""Many small networks at once: what uneven batches do to networks in short and long trainings.

Networks of one shape are stacked over seeds and learning rates and trained together (`.engine`), so
that a condition with its own searched rate and ten seeds costs seconds of one core. A *recipe*
(`.recipes`) is a data set with a network that learns it, a *condition* (`.conditions`) a way to
form the gradient, a *cell* (`.cells`) a condition trained for so many steps: its rate is searched
on validation data (`.search`), then it is trained again on other seeds and scored on test data.
Cells are kept line by line (`.book`); tables (`.tables`, `.regime`, `.target`) are functions of
what is kept alone.
"""
