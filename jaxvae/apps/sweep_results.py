"""What a sweep came to: its summary, the best of its runs, the picture that helps to choose."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae._output import number, say
from jaxvae.apps import compare, compared, description, run_data, runs, topic_runs, topic_sweeps
from jaxvae.apps.compared import Entry
from jaxvae.apps.model_parts import Elbo
from jaxvae.apps.sweep_training import Member, runs_of
from jaxvae.data.dataset import Dataset
from jaxvae.model import evaluation
from jaxvae.training import run_folder, whole_files

LOSS, NELBO = "held_out_loss", "held_out_nelbo"
PICTURE = "sweep.png"


class Results:
    """The results of a sweep, in its folder.

    Args:
      folder: of the sweep.
      names: of the options that are swept.
      members: its runs.
    """

    def __init__(self, folder: Path, names: Sequence[str], members: Sequence[Member]):
        self.folder, self.names, self.members = folder, tuple(names), tuple(members)
        self._failed: dict[str, str] = {}

    @property
    def entries(self) -> list[Entry]:
        """What is known of each member."""
        return [compared.member(self.folder / own.name, self._failed) for own in self.members]

    @property
    def any_finished(self) -> bool:
        """Whether any member has results."""
        return any("test_loss" in entry.figures for entry in self.entries)

    @property
    def _of_topics(self) -> bool:
        """Whether all members are models of topics."""
        return all(topic_runs.is_topical(own.config.model) for own in self.members)

    def failed(self, member: str, message: str) -> None:
        """Keep what happened to a member that blew up.

        Args:
          member: its name.
          message: what happened.
        """
        self._failed[member] = message

    def finish(self, data: Dataset) -> None:
        """Find the best member, print the table, draw the picture and write the summary.

        Args:
          data: of the sweep.

        Raises:
          ValueError, OSError: if a run cannot be read, or something cannot be written.
        """
        for own in self.members:
            if self._of_topics and own.config.training.seeds > 1:
                topic_sweeps.write_stability(self.folder / own.name)
        measure = self._measure()
        if measure == NELBO:
            self._evaluate(data)
        entries = self.entries
        best = _best(entries, measure)
        self.write(finished=True, measure=measure, best=best)
        say("")
        for line in compare.report(entries, best=best and best.name):
            say(line)
        say("")
        for sentence in self._verdict(entries, measure, best):
            say(sentence)
        if self.any_finished:
            path = self.folder / run_folder.FIGURES / PICTURE
            path.parent.mkdir(exist_ok=True)
            with whole_files.whole(path) as new:
                self._draw(entries, measure, best).savefig(new, dpi=110)
            say("The picture is in", path)

    def write(
        self, *, finished: bool = False, measure: str | None = None, best: Entry | None = None
    ) -> None:
        """Write the summary of the sweep.

        Args:
          finished: whether all that can be trained is.
          measure: the name of the figure by which the best is chosen.
          best: the best member.

        Raises:
          OSError: if it cannot be written.
        """
        values = zip(*(own.values for own in self.members), strict=True)
        members = {}
        for own, entry in zip(self.members, self.entries, strict=True):
            members[own.name] = dict(zip(self.names, own.values, strict=True))
            for figure, each in entry.figures.items():
                if figure not in (*self.names, "seed"):
                    members[own.name][figure] = float(np.mean(each))
                    if len(each) > 1:
                        members[own.name][f"{figure}_std"] = float(np.std(each, ddof=1))
        summary = {
            compared.SWEEP: {
                name: list(dict.fromkeys(own)) for name, own in zip(self.names, values, strict=True)
            },
            "seeds": self.members[0].config.training.seeds,
            "finished": finished,
            "measure": measure,
            "best": best and best.name,
            compared.FAILED: self._failed,
            compared.MEMBERS: members,
        }
        whole_files.write_json(self.folder / run_folder.SUMMARY, summary)

    def _measure(self) -> str | None:
        """The figure by which members are compared; None where there is none."""
        configs = [own.config for own in self.members]
        if not configs[0].training.hold_out:
            return None
        parts = [(c.model.objective, c.model.prior, c.model.likelihood) for c in configs]
        if all(own == parts[0] for own in parts):
            return LOSS
        # The loss changes with them whatever is learned; the negative ELBO is in nats of the data.
        return NELBO if compared.yardstick(configs[0]).unit == "nats" else None

    def _evaluate(self, data: Dataset) -> None:
        """Measure the negative ELBO of each run on the held-out examples, into its summary."""
        for own in runs_of(self.folder, self.members):
            path = own.folder / run_folder.SUMMARY
            summary = whole_files.read_json(path) if path.exists() else {}
            if not summary or NELBO in summary:
                continue
            run = runs.open_run(own.folder)
            # At a KL weight of 1, so that runs that differ in it alone share one program.
            model = dataclasses.replace(own.config.model, objective=Elbo())
            _, held_out = runs.hold_out(own.config, run_data.shaped(data, model))
            key = jax.random.key(own.config.training.seed)
            found = evaluation.evaluate(key, description.build(model), run.params, held_out)
            whole_files.write_json(path, {**summary, NELBO: found.nelbo})

    def _verdict(
        self, entries: Sequence[Entry], measure: str | None, best: Entry | None
    ) -> list[str]:
        """Which member is best, and how far that can be trusted."""
        if measure is None and self._of_topics:
            return [topic_sweeps.VERDICT]
        if measure is None:
            held_out = self.members[0].config.training.hold_out
            why = (
                "the losses of the runs cannot be compared"
                if held_out
                else "no training examples were held out (--hold-out 0.1 holds a tenth out)"
            )
            return [f"No run is marked as the best: {why}."]
        if best is None:
            return ["No run is marked as the best, as none has finished."]
        what = "loss" if measure == LOSS else "negative ELBO"
        stick = compared.yardstick(self.members[0].config)
        unit = "nats" if stick.unit == "nats" else "in the original's units"
        low = best.mean(measure)
        assert low is not None
        said = [
            f"The best is {best.name} (*): it has the lowest {what} on the held-out examples, "
            f"{number(low, 11)} {unit}. The test data had no part in the choice."
        ]
        place = [entry.name for entry in entries].index(best.name)
        for i, name in enumerate(self.names):
            value = self.members[place].values[i]
            every = {own.values[i] for own in self.members}
            if value in (min(every), max(every)):
                end = "largest" if value == max(every) else "smallest"
                other = "larger" if value == max(every) else "smaller"
                said.append(
                    f"{value} is the {end} {name} of the sweep: a {other} one may be better still."
                )
        if len(own := best.figures[measure]) > 1:
            reach = low + float(np.std(own, ddof=1))
            means = {entry.name: entry.mean(measure) for entry in entries if entry is not best}
            close = [name for name, mean in means.items() if mean is not None and mean < reach]
            if close:
                said.append(f"Within one standard deviation of it: {', '.join(close)}.")
        return said

    def _draw(self, entries: Sequence[Entry], measure: str | None, best: Entry | None) -> Any:
        """The picture of the sweep."""
        from jaxvae.apps.figures import comparisons  # Matplotlib is slow to import

        known = [m for m, e in zip(self.members, entries, strict=True) if "test_loss" in e.figures]
        values = [sorted(set(own)) for own in zip(*(m.values for m in known), strict=True)]
        along = int(np.argmax([len(own) for own in values]))  # the option of the axis
        across = 1 - along if len(values) > 1 else None
        seeds = self.members[0].config.training.seeds

        def curve(figure: str, other: float | None) -> np.ndarray:
            """A figure at each value, NaN where there is none [V, S]."""
            found = np.full((len(values[along]), seeds), np.nan)
            for own, entry in zip(self.members, entries, strict=True):
                if own in known and (across is None or own.values[across] == other):
                    each = entry.figures.get(figure, ())
                    found[values[along].index(own.values[along]), : len(each)] = each
            return found

        def panel(**figures: str) -> dict[str, np.ndarray]:
            """Curves by their names; of a grid one for each value of the other option."""
            if across is not None:
                first = next(iter(figures.values()))
                own = {f"{value:g}": curve(first, value) for value in values[across]}
            else:
                own = {name.replace("_", " "): curve(f, None) for name, f in figures.items()}
            return {name: rows for name, rows in own.items() if not np.isnan(rows).all()}

        stick = compared.yardstick(self.members[0].config)
        unit = " (nats)" if stick.unit == "nats" else ""
        what, test = "loss", "test_loss"
        if measure == NELBO or (measure is None and unit):
            what, test = "negative ELBO", "test_nelbo"
        loss = panel(held_out=measure, test=test) if measure else panel(test=test)
        weights = [compared.yardstick(own.config).weights for own in self.members]
        if not (measure or unit or all(own == weights[0] for own in weights)):
            loss = {}  # of an original objective: they cannot be compared
        place = "held-out " if measure and across is not None else ""
        parts = dict.fromkeys(part for entry in entries for part in entry.parts)
        kl = {"test": "test_kl"}
        if len(parts) > 1:
            kl = {"the sum": "test_kl"} | {part: f"{part}_kl" for part in parts}
        panels: dict[str, Any] = {
            f"{place}{what}{unit}": loss,
            compare.RMSE: panel(test="test_rmse"),
            f"test KL{unit}": panel(**kl),
            "test accuracy": panel(test="test_accuracy"),
        }
        if self._of_topics:  # the loss of more topics, by the encoder alone, says little
            panels = topic_sweeps.panels(lambda figure: panel(test=figure)) or panels
            if measure:
                panels = {f"{place}{what}{unit}": loss, **panels}
        mark = None
        if best is not None:
            chosen = self.members[[entry.name for entry in entries].index(best.name)]
            name = "held out" if across is None else f"{chosen.values[across]:g}"
            mark = (values[along].index(chosen.values[along]), name)
        return comparisons.sweep_curves(
            values[along],
            {title: own for title, own in panels.items() if own},
            option=self.names[along],
            best=mark,
            marks=compare.baseline(entries) | _unigram(entries),
            legend=None if across is None else self.names[across],
        )


def _best(entries: Sequence[Entry], measure: str | None) -> Entry | None:
    """The member with the lowest mean of a figure, of those of which no seed has failed."""
    if measure is None:
        return None
    seeds = max((len(entry.figures.get(measure, ())) for entry in entries), default=0)
    known = [
        (float(np.mean(own)), i)
        for i, entry in enumerate(entries)
        if len(own := entry.figures.get(measure, ())) == seeds
        and seeds
        and "test_loss" in entry.figures
    ]
    return entries[min(known)[1]] if known else None


def _unigram(entries: Sequence[Entry]) -> dict[str, tuple[str, float]]:
    """What the perplexities of topics are compared with."""
    known = [m for entry in entries if (m := entry.mean(topic_runs.UNIGRAM)) is not None]
    title = next(iter(topic_sweeps.PANELS))
    return {title: ("the words' frequencies", known[0])} if known else {}
