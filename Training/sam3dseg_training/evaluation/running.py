"""Judge many cases in processes of this computer; every result is on disk as soon as it is there."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sam3dseg.placement import is_out_of_memory
from sam3dseg.proposals.proposer import Proposer
from sam3dseg.protocol import Segmenter, SliceSegmenter

from ..data.cache import entry_path
from ..data.entries import read_entry
from ..data.running import core_count
from ..data.splits import Objects
from .models import open_model
from .prompting import Prompting
from .results import judge, write_results

_segmenters: dict[tuple[str, str], Segmenter | SliceSegmenter | Proposer] = {}  # of this process, by model and device


@dataclass(frozen=True)
class Task:
    """One case, its objects, the model that is to segment them, and the file for the results.

    slices: orientation and modality, for models of slices.
    """

    cache: Path
    key: str
    objects: Objects
    model: str
    device: str
    prompting: Prompting
    slices: Mapping[str, str]
    tolerance_mm: float
    path: Path
    stamp: Mapping[str, Any]


def run(task: Task) -> None:
    """Judge a case and write the results.  Raises ValueError for a damaged case and when memory runs out."""
    case = read_entry(entry_path(task.cache, task.key))
    try:
        segmenter = _segmenter(task.model, task.device)
        how = {"prompting": task.prompting, "slices": task.slices, "tolerance_mm": task.tolerance_mm}
        results = judge(segmenter, case, task.objects, **how)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        raise ValueError(f"{task.key}: {str(error) or 'out of memory'}; fewer jobs= need less of it") from error
    write_results(task.path, results, task.stamp)


def run_all(tasks: Sequence[Task], jobs: int) -> Iterator[Task]:
    """Run tasks in so many processes, in this one when it is 1; gives each task when it is done.

    Raises ValueError when a process was killed, and what `run` raises. What was done until then is kept.
    """
    if jobs == 1 or len(tasks) < 2:
        for task in tasks:
            run(task)
            yield task
        return
    jobs = min(jobs, len(tasks))
    threads = int(os.environ.get("OMP_NUM_THREADS", max(1, core_count() // jobs)))
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin_process, initargs=(threads,))
    try:
        futures = {pool.submit(run, task): task for task in tasks}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    except BrokenProcessPool as error:
        raise ValueError(
            f"a process was killed, probably for want of memory: give fewer than jobs={jobs}; the same command goes on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _segmenter(model: str, device: str) -> Segmenter | SliceSegmenter | Proposer:
    if (model, device) not in _segmenters:
        _segmenters[model, device] = open_model(model).segmenter(device)
    return _segmenters[model, device]


def _begin_process(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and stops all
    torch.set_num_threads(threads)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
