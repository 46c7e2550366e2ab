"""The command ``hetlib``: plan a platform, train an experiment.

Commands import what they need inside, so that ``--help`` answers at once. What is not installed is
named in one sentence, with the extra of hetlib that brings it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import hetlib
from hetlib.balanced.shares import slashed
from hetlib.errors import MissingDependencyError, from_file, require
from hetlib.inputs import number
from hetlib.reading import read_yaml
from hetlib.replicas.surroundings import surroundings

require("typer", extra="cli")

import typer  # noqa: E402 -- where it is missing, the error above names the extra

WRONG = 2  # exit status where an argument, a file or a package is not as it should be

EXPERIMENT_FILE = "experiment file"
PLAN_FILE = "plan file"

# Endings of files of settings.
SETTINGS = (".yaml", ".yml")

SUMMARY = "Balanced gradients for distributed training on devices of different speed."

app = typer.Typer(
    help=SUMMARY,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PlatformFile = Annotated[Path | None, typer.Option(help="YAML file; equal CPU replicas without it")]


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """End with status 2 and one line, without a traceback, on a wrong argument.

    Raises:
        typer.Exit: In place of an error that says what to do, also of a package that is missing.
    """
    try:
        yield
    except (ValueError, OSError, MissingDependencyError) as error:
        line = " ".join(str(error).split())
        typer.echo(f"hetlib: {line}", err=True)
        raise typer.Exit(WRONG) from None


def say_version(wanted: bool) -> None:
    """Print hetlib's version and end, where that is wanted.

    Raises:
        typer.Exit: It is.
    """
    if wanted:
        from hetlib.environment import version

        typer.echo(f"hetlib {version()}")
        raise typer.Exit


@app.callback()
def common(
    _: Annotated[
        bool,
        typer.Option("--version", help="Print the version", callback=say_version, is_eager=True),
    ] = False,
) -> None:
    """Balanced gradients for distributed training on devices of different speed."""


@app.command()
def train(
    experiment: Annotated[Path, typer.Argument(help="YAML file with fields of hetlib.Experiment")],
    platform: PlatformFile = None,
    plan: Annotated[Path | None, typer.Option(help="Plan that `hetlib plan --out` wrote")] = None,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Compute all replicas in one process, untimed")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the record")] = Path("results/records"),
) -> None:
    """Train an experiment, write its record, print its scores and its median step.

    Under torchrun the job's processes are the replicas, on any number of machines.
    """
    with plain_errors():
        settings = read_experiment(experiment, plan=plan)
        replicas_of = read_platform(platform)
        out.mkdir(parents=True, exist_ok=True)
        if virtual:
            record = hetlib.train(settings, hetlib.VirtualReplicas(replicas_of))
        else:
            with start(replicas_of) as replicas:
                record = hetlib.train(settings, replicas)
    if leads():
        show(record)
        typer.echo(f"record {record.save(out)}")


def show(record: "hetlib.RunRecord") -> None:
    """Print a run's scores, its shares and its median step.

    Args:
        record: The run.
    """
    import numpy as np

    scores = record.scores
    shares = slashed(record.shares)
    typer.echo(
        f"OA {scores['oa']:.4f}  AA {scores['aa']:.4f}  kappa {scores['kappa']:.4f}  "
        f"shares {shares}"
    )
    if record.mode == "virtual":
        typer.echo("no step times: virtual replicas")
    else:
        seconds = np.median(record.step_seconds[1:])
        typer.echo(f"median step {1e3 * seconds:.1f} ms")


@app.command()
def plan(
    what: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_FILE",
            help="A network by name, or a YAML file with fields of hetlib.Experiment",
        ),
    ],
    platform: PlatformFile = None,
    global_batch: Annotated[
        int | None,
        typer.Option(help="Samples a step over all replicas; 128, or what the file says"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for the measurement")] = 10.0,
    accumulate: Annotated[
        bool, typer.Option("--accumulate", help="Let shares exceed max_batch, in passes")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="YAML file to write the plan to")] = None,
) -> None:
    """Measure a network or an experiment on all replicas and print the shares of the shortest step.

    Under torchrun, too.
    """
    import dataclasses

    with plain_errors():
        yaml = require("yaml", extra="cli")
        require("pandas", extra="cli")  # prints the table; said before the time is spent
        number("seconds", seconds, above=0)
        experiment = planned(what, global_batch)
        with start(read_platform(platform)) as replicas:
            shown = None if leads() else False
            found = hetlib.plan_experiment(
                experiment, replicas, seconds=seconds, accumulate=accumulate, progress=shown
            )
            if not leads():
                return
            if out:
                out.write_text(yaml.safe_dump(dataclasses.asdict(found), sort_keys=False))
    typer.echo(found.explain().to_string(index=False, float_format="{:.1f}".format))
    typer.echo(str(found))


def planned(what: str, global_batch: int | None) -> "hetlib.Experiment":
    """Return what is to be planned.

    Args:
        what: Name of a network, which then learns from an embedded scene; or path of a YAML file.
        global_batch: In place of the experiment's; its shares are left out then.

    Returns:
        The experiment.

    Raises:
        ValueError: There is no such network, or the file is wrong.
    """
    path = Path(what)
    changes: dict[str, Any] = {}
    if global_batch is not None:
        changes = {"global_batch": global_batch, "shares": None, "plans": ()}
    if path.suffix in SETTINGS or path.is_file():
        return read_experiment(path, changes)
    return hetlib.Experiment(model=what, **changes)


def read_platform(path: Path | None) -> "hetlib.Platform":
    """Return the replicas.

    Args:
        path: YAML file; None: equal CPU replicas, one a process of the job, or two without a job.

    Returns:
        The platform.

    Raises:
        ValueError: The file describes none.
    """
    if path:
        return hetlib.Platform.from_yaml(path)
    around = surroundings()
    count = 2
    if around.in_job:
        count = around.world_size
    return hetlib.Platform.emulated([1] * count)


def in_job() -> bool:
    """Say whether torchrun, or whoever sets the same variables, started this process."""
    return surroundings().in_job


def start(platform: "hetlib.Platform") -> "hetlib.Replicas":
    """Return replicas.

    Args:
        platform: Describes them.

    Returns:
        Processes of this machine, or those of the job that this process belongs to.
    """
    if not in_job():
        return hetlib.Replicas(platform)
    from hetlib.replicas.job import JobReplicas

    return JobReplicas(platform)


def leads() -> bool:
    """Say whether this process prints and writes."""
    return surroundings().leads


def read_experiment(
    path: Path, changes: Mapping[str, Any] | None = None, plan: Path | None = None
) -> "hetlib.Experiment":
    """Read an experiment.

    Args:
        path: YAML file with fields of `hetlib.Experiment`.
        changes: Fields in place of the file's.
        plan: YAML file with `shares`, as ``hetlib plan --out`` writes it.

    Returns:
        The settings, with the plan's shares.

    Raises:
        ValueError: A file or what it holds is wrong; the message names it.
        MissingDependencyError: PyYAML is not installed.
    """
    fields = read_fields(path) | dict(changes or {})
    if plan:
        fields["shares"] = read_shares(plan)
    try:
        return hetlib.Experiment(**fields)
    except ValueError as error:
        raise from_file(path, error, what=EXPERIMENT_FILE) from None


def read_fields(path: Path) -> dict[str, Any]:
    """Return the fields in an experiment's file.

    Args:
        path: The file.

    Returns:
        Values by field.

    Raises:
        ValueError: There is another field, or no mapping.
    """
    allowed = list(hetlib.Experiment.__dataclass_fields__)
    fields = read_yaml(path, EXPERIMENT_FILE)
    if not isinstance(fields, dict) or not fields.keys() <= set(allowed):
        problem = f"needs only fields out of {allowed}, and holds {fields}"
        raise from_file(path, problem, what=EXPERIMENT_FILE)
    return fields


def read_shares(path: Path) -> list[int]:
    """Return the shares in a plan's file.

    Args:
        path: The file.

    Returns:
        Local batch of each replica.

    Raises:
        ValueError: There are none.
    """
    content = read_yaml(path, PLAN_FILE)
    if not isinstance(content, dict) or "shares" not in content:
        problem = "it has no `shares`; `hetlib plan --out` writes one"
        raise from_file(path, problem, what=PLAN_FILE)
    return content["shares"]


def main() -> None:
    """Run the command line."""
    app(prog_name="hetlib")
