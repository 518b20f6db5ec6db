"""The command `prepare`: find cases, check all of them, and build the cache, on all cores or on a cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..configs.prepare import PrepareConfig
from ..progress import watched
from .building import CaseJob, CaseOptions, CaseOutcome
from .cache import CaseRecord, check_same_options, entry_path, read_index, write_index
from .checks import Problem, problems_of_files, report
from .layouts import Structures
from .running import core_count, run_here, run_on_cluster
from .sources import CaseFiles, Found, find_cases

log = logging.getLogger(__name__)

SHOWN_WARNINGS = 20


@dataclass(frozen=True)
class Summary:
    """What a run did: cases in the cache, how many of them were there already, and problems of any kind."""

    cases: int
    kept: int
    problems: tuple[Problem, ...]


def prepare(config: PrepareConfig) -> Summary:
    """Check every case and keep what training needs; only what is missing, changed or damaged is built.

    Raises ValueError with all problems of all cases when some cannot be used, and when the cache was made with other
    settings; OSError when the cache cannot be written. What was built until then is kept.
    """
    folder = Path(config.out).expanduser().resolve()
    options = _case_options(config)
    found = _named(find_cases(config.data, layout=config.layout, channel=config.channel), config.labels)
    settings = _settings(config, found)
    index = read_index(folder)
    if index is None:
        write_index(folder, options=settings, structures=found.label_names, records=[], complete=False)
    elif not config.rebuild:
        check_same_options(folder, index["options"], settings)
    problems = problems_of_files(found.cases)
    jobs = [
        CaseJob(case, folder, found.label_names[case.dataset], options, rebuild=config.rebuild)
        for case in _without(found.cases, problems)
    ]
    log.info("%d cases in %s", len(found.cases), ", ".join(found.label_names))
    outcomes = list(watched(_run(jobs, config), len(jobs)))
    problems += [problem for outcome in outcomes for problem in outcome.problems]
    records = sorted((outcome.record for outcome in outcomes if outcome.record), key=lambda record: record.key)
    _check_shared(folder, records, config.scheduler)
    problems.sort(key=lambda problem: (problem.case, not problem.is_fatal))
    fatal = [problem for problem in problems if problem.is_fatal]
    is_complete = bool(records) and (config.skip_bad or not fatal)
    write_index(folder, options=settings, structures=found.label_names, records=records, complete=is_complete)
    _warn([problem for problem in problems if not problem.is_fatal])
    if not is_complete:
        raise ValueError(report(fatal, case_count=len(found.cases)))
    _warn(fatal)
    summary = Summary(len(records), sum(outcome.is_kept for outcome in outcomes), tuple(problems))
    left_out = f", {len(found.cases) - len(records)} left out" if fatal else ""
    log.info("%d cases ready in %s (%d were there already%s)", summary.cases, folder, summary.kept, left_out)
    return summary


def _case_options(config: PrepareConfig) -> CaseOptions:
    crop = tuple(config.crop)
    if crop and (len(crop) != 2 or min(crop) < 1):
        raise ValueError(f"crop must be the height and width of slices, like crop=[256,256], not {list(crop)}")
    if crop and not config.slices:
        raise ValueError("crop is the size of 2D slices: add slices=true, or leave crop out")
    surfaces = "" if config.surfaces == "none" else config.surfaces
    return CaseOptions(surfaces=surfaces, sdf=config.sdf, slices=config.slices, crop=crop, small=config.small)


def _named(found: Found, labels: Sequence[str]) -> Found:
    """The cases with the names that were given for the label values 1, 2, …, if any were."""
    if not labels:
        return found
    if len(set(labels)) < len(labels):
        raise ValueError(f"labels must be different names, received {list(labels)}")
    names: Structures = {name: (value,) for value, name in enumerate(labels, start=1)}
    return Found(found.cases, dict.fromkeys(found.label_names, names))


def _settings(config: PrepareConfig, found: Found) -> dict[str, Any]:
    """What the cache's content follows from, by the keys of the command line; where the data lie may change."""
    chosen = asdict(config)
    kept = ("layout", "channel", "labels", "small", "sdf", "surfaces", "slices", "crop")
    return {"data": sorted(found.label_names), **{key: chosen[key] for key in kept}}


def _without(cases: Sequence[CaseFiles], problems: Sequence[Problem]) -> list[CaseFiles]:
    bad = {problem.case for problem in problems}
    return [case for case in cases if case.key not in bad]


def _run(jobs: Sequence[CaseJob], config: PrepareConfig) -> Iterator[CaseOutcome]:
    if config.scheduler and jobs:
        return run_on_cluster(jobs, config.scheduler)
    return run_here(jobs, config.jobs or core_count())


def _check_shared(folder: Path, records: Sequence[CaseRecord], scheduler: str) -> None:
    unseen = [record.key for record in records if not entry_path(folder, record.key).is_file()] if scheduler else []
    if unseen:
        raise ValueError(
            f"the cluster wrote {unseen[0]} where this computer cannot see it: expected {folder} to be one folder for "
            "all; give an out= on a shared disk"
        )


def _warn(problems: Sequence[Problem]) -> None:
    for problem in problems[:SHOWN_WARNINGS]:
        log.warning("%s: %s", problem.case, problem.text)
    if len(problems) > SHOWN_WARNINGS:
        log.warning("… and %d more of this kind", len(problems) - SHOWN_WARNINGS)
