"""The command ``hetlib``. Commands import what they need inside, so that ``--help`` answers at once."""

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

__all__ = ["app", "main", "plain_errors"]

app = typer.Typer(
    help="Balanced gradients for distributed training on devices of different speed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """End with status 2 and one line, without a traceback, on a wrong argument."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        typer.echo(f"hetlib: {error}", err=True)
        raise typer.Exit(2) from None


@app.callback()
def _app() -> None:
    """Keep commands by name even while there is only one."""


@app.command()
def reproduce(
    profile: Annotated[str, typer.Option(help="quick (minutes), standard (an hour) or full")] = "quick",
    only: Annotated[list[str] | None, typer.Option(help="Number of a notebook, repeatable")] = None,
) -> None:
    """Run the notebooks and collect tables and figures in results/PROFILE/index.html."""
    from hetlib import bundle

    with plain_errors():
        status = bundle.reproduce(profile, only or ())
    raise typer.Exit(status)


def main() -> None:
    """Run the command line."""
    app(prog_name="hetlib")
