"""The command ``hetlib``: plan a platform, train an experiment. Commands import what they need inside."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import hetlib

summary = "Balanced gradients for distributed training on devices of different speed."


app = typer.Typer(
    help=summary, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


PlatformFile = Annotated[Path | None, typer.Option(help="YAML file; equal CPU replicas without it")]


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """End with status 2 and one line, without a traceback, on a wrong argument."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.echo(f"hetlib: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None


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
    import numpy as np

    with plain_errors():
        settings, replicas_of = read_experiment(experiment, plan), read_platform(platform)
        out.mkdir(parents=True, exist_ok=True)
        if virtual:
            record = hetlib.train(settings, hetlib.VirtualReplicas(replicas_of))
        else:
            with start(replicas_of) as replicas:
                record = hetlib.train(settings, replicas)
    if not leads():
        return
    oa, aa, kappa = record.scores.values()
    typer.echo(
        f"OA {oa:.4f}  AA {aa:.4f}  kappa {kappa:.4f}  shares {'/'.join(map(str, record.shares))}"
    )
    step = "" if virtual else f"median step {1e3 * np.median(record.step_seconds[1:]):.1f} ms"
    typer.echo(step or "no step times: virtual replicas")
    typer.echo(f"record {record.save(out)}")


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
    """Measure a model on all replicas at once and print the shares with the shortest step; under torchrun, too."""
    import dataclasses

    import yaml

    with plain_errors(), start(read_platform(platform)) as replicas:
        experiment = hetlib.Experiment(model=model, global_batch=global_batch)
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
    count = int(os.environ["WORLD_SIZE"]) if in_job() else 2
    return hetlib.Platform.from_yaml(path) if path else hetlib.Platform.emulated([1] * count)


def in_job() -> bool:
    """Say whether torchrun, or whoever sets the same variables, started this process."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


def start(platform: "hetlib.Platform") -> "hetlib.Replicas":
    """Return replicas: processes of this machine, or those of the job that this process belongs to."""
    if not in_job():
        return hetlib.Replicas(platform)
    from hetlib.replicas.job import JobReplicas

    return JobReplicas(platform)


def leads() -> bool:
    """Say whether this process prints and writes."""
    return not in_job() or os.environ["RANK"] == "0"


def read_experiment(path: Path, plan: Path | None = None) -> "hetlib.Experiment":
    """Read an experiment, with a plan's shares, and build what it names: wrong options end it before replicas start."""
    import yaml

    from hetlib.datasets import load_dataset
    from hetlib.training.setup import build_network, build_optimizer

    allowed = list(hetlib.Experiment.__dataclass_fields__)
    try:
        fields = yaml.safe_load(path.read_text())
        if not isinstance(fields, dict) or not fields.keys() <= set(allowed):
            raise ValueError(f"needs only fields out of {allowed}, and holds {fields}")
        if plan:
            planned = yaml.safe_load(plan.read_text())
            if not isinstance(planned, dict) or "shares" not in planned:
                raise ValueError(
                    f"with plan file {str(plan)!r}, which has no `shares`; `hetlib plan --out` writes one"
                )
            fields["shares"] = planned["shares"]
        experiment = hetlib.Experiment(**fields)
        data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
        build_optimizer(experiment, build_network(experiment, data), experiment.lr)
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"experiment file {str(path)!r}: {error}") from None
    return experiment


def main() -> None:
    """Run the command line."""
    app(prog_name="hetlib")
