"""Build many cases: in processes of this computer, or on a Dask cluster.  What a lost process was at is done again."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from .building import CaseJob, CaseOutcome, build_case

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
WORKER_SECONDS = 30  # to wait for the first worker of a cluster
GOES_ON = "the same command goes on"


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_here(jobs: Sequence[CaseJob], processes: int) -> Iterator[CaseOutcome]:
    """Build cases in so many processes, in this one when it is 1; outcomes come in any order, one per case.

    When a process is killed, most often for want of memory, the rest goes on in half as many. Raises OSError when the
    cache cannot be written, ValueError naming the case when even one process at a time is killed.
    """
    if processes == 1 or len(jobs) < 2:
        yield from map(build_case, jobs)
        return
    remaining = dict(enumerate(jobs))
    processes = min(processes, len(jobs))
    while remaining:
        try:
            for index, outcome in _in_pool(remaining, processes):
                del remaining[index]
                yield outcome
        except BrokenProcessPool as error:
            if processes == 1:
                name = next(iter(remaining.values())).files.key
                raise ValueError(
                    f"the process preparing {name} was killed, probably for want of memory: close other programs or "
                    f"remove the case; {GOES_ON}"
                ) from error
            processes = max(1, processes // 2)
            log.warning("a process was killed, probably for want of memory: going on with %d", processes)


def _in_pool(jobs: dict[int, CaseJob], processes: int) -> Iterator[tuple[int, CaseOutcome]]:
    """(index, outcome) of the jobs as they are done; BrokenProcessPool when a process was killed."""
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin_process)
    try:
        futures = {pool.submit(build_case, job): index for index, job in jobs.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and stops all
    logging.getLogger("sam3dseg").setLevel(logging.ERROR)  # warnings come back with the outcome


def run_on_cluster(jobs: Sequence[CaseJob], address: str) -> Iterator[CaseOutcome]:
    """Build cases on the Dask cluster whose scheduler listens at `address`; outcomes in any order, one per case.

    The workers need this package and the folders of data and cache under the same paths. Cases of a worker that dies
    go to another one. Raises OSError when the cluster cannot be reached or the cache not be written, ValueError when
    no worker is there or a case kills one after the other.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed import as_completed as as_built
    except ImportError as error:
        raise ValueError("scheduler= needs Dask: pip install 'dask[distributed]'") from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # no answer, or no address at all
        raise OSError(
            f"no Dask scheduler at {address}: expected an address like tcp://host:8786; start one with `dask scheduler`"
        ) from error
    with client:
        _wait_for_workers(client, address)
        run = uuid.uuid4().hex  # results of an earlier run are not to be taken up: their files may be gone
        futures = [client.submit(build_case, job, key=f"prepare-{run}-{job.files.key}") for job in jobs]
        try:
            for future in as_built(futures, loop=client.loop):
                yield future.result()
        except KilledWorker as error:
            raise ValueError(
                f"{str(error.task).rpartition(run + '-')[2]} killed one worker after the other, probably for want of "
                f"memory: give the workers more or remove the case; {GOES_ON}"
            ) from error
        except CancelledError as error:
            raise OSError(f"lost the Dask scheduler at {address}; start it again: {GOES_ON}") from error
        finally:
            client.cancel(futures)


def _wait_for_workers(client: object, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)  # type: ignore[attr-defined]
    except TimeoutError as error:
        raise ValueError(
            f"the Dask scheduler at {address} has no workers: start some with `dask worker {address}`"
        ) from error
