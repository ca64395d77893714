"""Compare a run of the benchmark suites with the stored one of the same kind of machine.

    python -m bench.compare build/bench.json           what became slower, what promises were missed; exit code 1 if slower
    python -m bench.compare build/bench.json --strict  the same, and exit code 1 for a missed promise
    python -m bench.compare build/bench.json --save    keep this run as the baseline of its kind of machine

A benchmark counts as slower when its median and its minimum both are, by more than 20 %: a slow spell of the machine moves the
median alone. Baselines of other machines are never compared with. Promises (issue figures) are ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SLOWER = 1.2
KEPT = ("median", "min", "iqr", "rounds")
Trimmed = dict[str, Any]


def trimmed(run: dict[str, Any]) -> Trimmed:
    """What is kept of pytest-benchmark's JSON: the kind of machine, the date, and a few numbers a benchmark."""
    about = run["machine_info"]["lmaps"]
    kind, _, torch = about["machine"].rpartition(", torch ")
    return {
        "kind": f"{kind}, {about['threads']} threads",
        "torch": torch,
        "date": run["datetime"][:10],
        "benchmarks": {
            one["fullname"]: {
                **{name: _short(one["stats"][name]) for name in KEPT},
                **{name: _short(value) for name, value in one["extra_info"].items()},
            }
            for one in run["benchmarks"]
        },
    }


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def stored(kind: str, folder: Path = FOLDER) -> Trimmed | None:
    """The baseline of a kind of machine, or None."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("baseline*.json")))
    return next((baseline for baseline in found if baseline["kind"] == kind), None)


def save(run: Trimmed, folder: Path = FOLDER) -> Path:
    path = folder / f"baseline-{re.sub('[^a-z0-9]+', '-', run['kind'].lower()).strip('-')}.json"
    path.write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def changes(run: Trimmed, baseline: Trimmed) -> Iterator[tuple[str, float, float, bool]]:
    """(name, seconds before, seconds now, slower) of every benchmark that both have."""
    for name, now in run["benchmarks"].items():
        before = baseline["benchmarks"].get(name)
        if before is not None:
            slower = all(now[number] > SLOWER * before[number] for number in ("median", "min"))
            yield name, before["median"], now["median"], slower


def promises(run: Trimmed) -> Iterator[tuple[str, float, str, bool]]:
    """(figure, ratio, bound, kept) of every benchmark that an issue names a figure for."""
    for one in run["benchmarks"].values():
        if "at_least" in one:
            yield one["figure"], one["ratio"], f">= {one['at_least']:g}", one["ratio"] >= one["at_least"]
        if "at_most" in one:
            yield one["figure"], one["ratio"], f"<= {one['at_most']:g}", one["ratio"] <= one["at_most"]


def report(run: Trimmed, baseline: Trimmed | None) -> tuple[list[str], bool]:
    """Lines to print, and whether something became slower."""
    lines = [f"{run['kind']}, torch {run['torch']}, {run['date']}", ""]
    for figure, ratio, bound, kept in promises(run):
        lines.append(f"{'kept  ' if kept else 'MISSED'}  {ratio:8.3g}  {bound:8}  {figure}")
    if baseline is None:
        return [*lines, "", "no baseline of this kind of machine; --save makes this run one"], False
    rows = list(changes(run, baseline))
    worse = [row for row in rows if row[3]]
    lines += ["", f"{len(rows)} benchmarks against {baseline['date']}, torch {baseline['torch']}"]
    for name, before, now, _ in sorted(worse, key=lambda row: row[1] / row[2]):
        lines.append(f"SLOWER  {now / before:5.2f}x  {1e3 * before:.3g} -> {1e3 * now:.3g} ms  {name}")
    if not worse:
        lines.append(f"none slower by more than {round(100 * (SLOWER - 1))} %")
    missing = sorted(set(baseline["benchmarks"]) - set(run["benchmarks"]))
    return [*lines, *(f"not run: {name}" for name in missing)], bool(worse)


def missed(run: Trimmed) -> bool:
    """Whether a promise was."""
    return not all(kept for *_, kept in promises(run))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="what pytest --benchmark-json wrote")
    parser.add_argument("--save", action="store_true", help="keep this run as the baseline of its kind of machine")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for a missed promise, too")
    given = parser.parse_args(arguments)
    run = trimmed(json.loads(given.run.read_text(encoding="utf-8")))
    lines, slower = report(run, stored(run["kind"]))
    print("\n".join(lines))
    if given.save:
        print(f"saved {save(run)}")
        return int(given.strict and missed(run))
    return int(slower or (given.strict and missed(run)))


if __name__ == "__main__":
    sys.exit(main())
