"""The command ``hetlib``: plan a platform, train an experiment.

Commands import what they need inside, so that ``--help`` answers at once. What is not installed is
named in one sentence, with the extra of hetlib that brings it.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import hetlib
from hetlib.errors import MissingDependencyError, require
from hetlib.replicas.surroundings import surroundings

require("typer", extra="cli")

import typer  # noqa: E402 -- where it is missing, the error above names the extra

WRONG = 2  # exit status where an argument, a file or a package is not as it should be

SUMMARY = "Balanced gradients for distributed training on devices of different speed."

app = typer.Typer(
    help=SUMMARY, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
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
        settings = read_experiment(experiment, plan)
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
    shares = "/".join(map(str, record.shares))
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
    model: Annotated[str, typer.Argument(help="Name in hetlib.models.MODELS")],
    platform: PlatformFile = None,
    global_batch: Annotated[int, typer.Option(help="Samples a step over all replicas")] = 128,
    seconds: Annotated[float, typer.Option(help="Time for the measurement")] = 10.0,
    accumulate: Annotated[
        bool, typer.Option("--accumulate", help="Let shares exceed max_batch, in passes")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="YAML file to write the plan to")] = None,
) -> None:
    """Measure a model on all replicas at once and print the shares with the shortest step.

    Under torchrun, too.
    """
    import dataclasses

    with plain_errors():
        yaml = require("yaml", extra="cli")
        require("pandas", extra="cli")  # prints the table; said before the time is spent
        experiment = hetlib.Experiment(model=model, global_batch=global_batch)
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


def read_experiment(path: Path, plan: Path | None = None) -> "hetlib.Experiment":
    """Read an experiment, and build what it names: wrong options end it before replicas start.

    Args:
        path: YAML file with fields of `hetlib.Experiment`.
        plan: YAML file with `shares`, as ``hetlib plan --out`` writes it.

    Returns:
        The settings, with the plan's shares.

    Raises:
        ValueError: A file or what it holds is wrong; the message names it.
        MissingDependencyError: PyYAML is not installed.
    """
    yaml = require("yaml", extra="cli")
    try:
        fields = read_fields(yaml, path)
        if plan:
            fields["shares"] = read_shares(yaml, plan)
        experiment = hetlib.Experiment(**fields)
        try_out(experiment)
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"experiment file {str(path)!r}: {error}") from None
    return experiment


def read_fields(yaml: Any, path: Path) -> dict[str, Any]:
    """Return the fields in an experiment's file.

    Args:
        yaml: The package.
        path: The file.

    Returns:
        Values by field.

    Raises:
        ValueError: There is another field, or no mapping.
    """
    allowed = list(hetlib.Experiment.__dataclass_fields__)
    fields = yaml.safe_load(path.read_text())
    if not isinstance(fields, dict) or not fields.keys() <= set(allowed):
        raise ValueError(f"needs only fields out of {allowed}, and holds {fields}")
    return fields


def read_shares(yaml: Any, path: Path) -> list[int]:
    """Return the shares in a plan's file.

    Args:
        yaml: The package.
        path: The file.

    Returns:
        Local batch of each replica.

    Raises:
        ValueError: There are none.
    """
    planned = yaml.safe_load(path.read_text())
    if not isinstance(planned, dict) or "shares" not in planned:
        raise ValueError(
            f"with plan file {str(path)!r}, which has no `shares`; `hetlib plan --out` writes one"
        )
    return planned["shares"]


def try_out(experiment: "hetlib.Experiment") -> None:
    """Build the data set, the network and the optimizer, to see whether they take their options.

    Args:
        experiment: Names them.

    Raises:
        TypeError: One does not know an option.
        ValueError: The value of an option is wrong.
    """
    from hetlib.datasets import load_dataset
    from hetlib.training.setup import build_network, build_optimizer

    data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
    build_optimizer(experiment, build_network(experiment, data), experiment.lr)


def main() -> None:
    """Run the command line."""
    app(prog_name="hetlib")
