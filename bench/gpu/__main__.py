"""Build, check and measure on the GPU that is here:     python -m bench.gpu [-o FOLDER] [--minutes 9]

Needs torch, Triton and a C++ compiler with CMake and pybind11, and no network. Writes gpu-<name>.json, .md and .log to
FOLDER after each section; prints the table of figures last. --device cpu --tiny rehearses it without a GPU.

Exit codes: 0 every section came to its end and every check passed, 1 not so.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from .build import Built, provide
from .figures import Row
from .plan import INDUCTOR, POISONED, SECTIONS, Section, environment, limit, read_rows, unfinished
from .report import name_of, write

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "bench-gpu"
# Seconds a section may overrun, and that are kept for the end.
GRACE, LAST = 4.0, 8.0
# How often a section whose process died is taken up again behind what killed it.
RESTARTS = 6


@dataclass
class Run:
    """One run of the bench: what was asked for, what has been found."""

    given: argparse.Namespace
    built: Built
    until: float
    log: IO[str]
    rows: list[Row]
    sections: list[Row]

    def section(self, sections: Sequence[Section]) -> None:
        """Run the first of these to its end, its limit, or until its process died too often; the others will follow."""
        section = sections[0]
        started = time.monotonic()
        seconds = limit(sections, self.until - started)
        file = WORK / f"{section.name}.jsonl"
        file.unlink(missing_ok=True)
        outcome = "no time left" if seconds < 2 else self._processes(section, file, started + seconds)
        found = read_rows(file)
        self.rows += found
        took = time.monotonic() - started
        self.sections.append({"section": section.name, "outcome": outcome, "seconds": took, "limit": seconds})
        failed = sum(row["kind"] == "row" and row["table"] == "failed" for row in found)
        print(f"{section.name:<14}{outcome:<12}{took:6.1f} s{f'   {failed} failed' if failed else ''}", flush=True)

    def _processes(self, section: Section, file: Path, until: float) -> str:
        for _ in range(RESTARTS):
            if until - time.monotonic() < 2:
                return "cut"
            code = self._process(section, file, until)
            if code == 0:
                return "done"
            if code is None:
                self._blame(file, "cut: the section's time was up", unfinished(read_rows(file)))
                return "cut"
            stuck = unfinished(read_rows(file))
            if code != POISONED:
                self._blame(file, f"its process died, exit code {code}", stuck or section.name)
                if stuck is None:
                    return "failed"
        return "failed"

    def _process(self, section: Section, file: Path, until: float) -> int | None:
        """The exit code, or None where it had to be ended. Its output goes to the log."""
        command = [sys.executable, "-P", "-m", "bench.gpu.child", section.name, "--rows", str(file)]
        command += ["--device", self.given.device, "--until", f"{until:.1f}", *(["--tiny"] if self.given.tiny else [])]
        # The interpreter of Triton is for tiny sizes, and chosen when Triton is imported.
        interpreted = self.given.tiny and self.given.device == "cpu" and section.name == "kernels"
        extra = {"TRITON_INTERPRET": "1"} if interpreted else {}
        self.log.write(f"\n=== {section.name}\n")
        self.log.flush()
        process = subprocess.Popen(
            command,
            env=environment(self.built.paths, WORK, extra),
            cwd=ROOT,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        try:
            return process.wait(until + GRACE - time.monotonic())
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)

    def _blame(self, file: Path, error: str, what: str | None) -> None:
        """A row for what was under way when a process ended."""
        row = {"kind": "row", "table": "failed", "what": what or "between two attempts", "error": error}
        self.rows.append(row)

    def report(self) -> str:
        given = self.given
        rehearsal = given.tiny or given.device == "cpu"
        facts: dict[str, Any] = {
            "title": "The engine on a GPU" + (": a rehearsal" if rehearsal else ""),
            "command": "python -m bench.gpu" + " --device cpu" * (given.device == "cpu") + " --tiny" * given.tiny,
            "date": str(datetime.date.today()),
            "built": f"{self.built.how}, {self.built.seconds:.0f} s"
            + (f"; {self.built.problem}" if self.built.problem else ""),
            "warning": "A rehearsal: no number below means anything." if rehearsal else "",
        }
        name = "gpu-rehearsal" if rehearsal else name_of(self.rows)
        table = write(given.output, name, facts, self.rows, self.sections)
        self.log.flush()
        shutil.copyfile(self.log.name, given.output / f"{name}.log")
        return table


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a section's process and those it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main() -> int:
    given = _parser().parse_args()
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _terminated)
    given.output = given.output or (
        WORK / "report" if given.tiny or given.device == "cpu" else ROOT / "bench" / "results"
    )
    WORK.mkdir(parents=True, exist_ok=True)
    WORK.chmod(0o700)
    shutil.rmtree(WORK / INDUCTOR, ignore_errors=True)
    # Reading torch from a fresh machine's disk takes longer than compiling: both at once.
    reading = subprocess.Popen(
        [sys.executable, "-c", "import torch"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    built = provide(ROOT, WORK, fresh=given.build)
    reading.wait()
    print(
        f"{'build':<14}{'done' if not built.problem else 'FAILED':<12}{built.seconds:6.1f} s   {built.how}", flush=True
    )
    with (WORK / "log.txt").open("w", encoding="utf-8") as log:
        if built.problem:
            log.write(f"=== build\n{built.problem}\n")
        run = Run(given, built, started + 60 * given.minutes - LAST, log, [], [])
        table = ""
        chosen = [section for section in SECTIONS if not given.only or section.name in given.only]
        for index in range(len(chosen)):
            run.section(chosen[index:])
            table = run.report()
    print(f"\n{table}\n\n{time.monotonic() - started:.0f} s in all; the report is in {given.output}", flush=True)
    wrong = any(row.get("result") == "WRONG" or row.get("table") == "failed" for row in run.rows)
    return int(wrong or any(row["outcome"] != "done" for row in run.sections))


def _terminated(*_: object) -> NoReturn:
    sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, help="folder for the report; bench/results unless given")
    parser.add_argument("--minutes", type=float, default=8.8, help="all of it takes no longer (default 8.8)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes for a rehearsal")
    parser.add_argument("--build", action="store_true", help="build the package even where it is installed")
    parser.add_argument("--only", nargs="+", choices=names, metavar="SECTION", help=f"some of: {', '.join(names)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
