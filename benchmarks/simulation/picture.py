"""A picture of a simulated day."""

from pathlib import Path

from matplotlib.figure import Figure

from simulation.cluster import Outcome

_WIDTH, _HEIGHT = 8.0, 3.6  # inches
_MOST_POINTS = 800


def draw_day(outcome: Outcome, path: Path) -> None:
    """Draw segments under way and replicas over the hours of a day as SVG.

    Args:
        outcome: Outcome of a simulation with the autoscaler.
        path: File to write.
    """
    samples = outcome.samples[:: -(-len(outcome.samples) // _MOST_POINTS)]
    hours = [time / 3600 for time, _, _ in samples]
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    load = figure.subplots()
    replicas = load.twinx()
    load.plot(hours, [ongoing for _, ongoing, _ in samples], color="0.7", linewidth=0.8)
    replicas.plot(hours, [count for _, _, count in samples], color="tab:blue")
    load.set(xlabel="hour", ylabel="segments under way (gray)", ylim=(0, None), xlim=(0, hours[-1]))
    replicas.set(ylabel="replicas (blue)", ylim=(0, None))
    figure.savefig(path, format="svg", metadata={"Date": None})
