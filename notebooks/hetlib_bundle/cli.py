"""The command ``hetlib``.

Commands import what they need inside, so that ``--help`` answers at once.
"""

from typing import Annotated

from hetlib.cli import app, plain_errors  # first: where typer is missing, it names the extra
from hetlib_bundle import paths

import typer  # isort: skip

ProfileName = Annotated[
    str,
    typer.Option(help="quick (default), standard (default if recorded), full"),
]
SourceName = Annotated[
    str,
    typer.Option(help="computed here, or recorded: drawn in minutes from data/recorded"),
]
Numbers = Annotated[
    list[str] | None,
    typer.Option(help="Number of a notebook, repeatable"),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Leave out what succeeded and has not changed"),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Untimed notebooks at a time; 2 on two cores"),
]
FinishedProfile = Annotated[
    str,
    typer.Option(help="Size whose finished results are taken"),
]
Fingerprint = Annotated[
    str,
    typer.Argument(help="Of a recorded run; its first characters suffice"),
]


@app.command()
def reproduce(
    profile: ProfileName = "",
    source: SourceName = "",
    only: Numbers = None,
    resume: Resume = False,
    jobs: Jobs = None,
) -> None:
    """Run the notebooks and collect tables and figures in results/PROFILE/index.html.

    What is drawn from records goes to results/PROFILE-recorded. Without --source, HETLIB_SOURCE
    says it, and without that they compute.
    """
    from hetlib_bundle.running import runner

    with plain_errors():
        if not any(paths.NOTEBOOKS.glob("*.ipynb")):
            raise FileNotFoundError(
                f"no notebooks in {paths.NOTEBOOKS}; run in a clone: pip install -e ."
            )
        status = runner.reproduce(
            profile,
            only or (),
            resume=resume,
            jobs=jobs,
            source=source,
        )
    raise typer.Exit(status)


@app.command()
def record(profile: FinishedProfile = "standard") -> None:
    """Copy what the notebooks kept in results/PROFILE to data/recorded/PROFILE."""
    from hetlib_bundle.running.publish import publish

    with plain_errors():
        copies = publish(profile)
    for path in copies:
        typer.echo(f"{path.stat().st_size:>9,} bytes  {path}")


@app.command()
def rerun(fingerprint: Fingerprint) -> None:
    """Run a recorded run again and compare: status 1 where the scores differ."""
    from hetlib_bundle.kept.rerun import again, compare, find

    with plain_errors():
        known = find(fingerprint)
    compared = compare(known, again(known))

    typer.echo(compared.table.to_string(float_format="{:.7g}".format, na_rep=""))
    outcome = "as recorded" if compared.same else "DIFFERENT"
    typer.echo(f"{compared.rule}: {outcome}")
    raise typer.Exit(0 if compared.same else 1)


def main() -> None:
    """Run the command line."""
    app(prog_name="hetlib")
