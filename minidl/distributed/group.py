"""Group: the processes that train together, and what they tell each other."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from mpi4py import MPI

from minidl._typing import Array
from minidl._validation import non_negative_int
from minidl.errors import LayerInputError, NonFiniteError

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


class Group:
    """The processes of an MPI communicator: who this one is, its share of a set, and the end of all when one fails.

    Arguments: `comm` is a communicator of mpi4py; without it, it is the one of all processes that `mpiexec` started.

    Attributes: `rank` is the number of this process, from 0, of `size`; `is_root` says whether it is number 0, which
    alone prints and writes.

    >>> group = Group()
    >>> group.size, group.is_root, group.share(10)
    (1, True, slice(0, 10, None))
    """

    def __init__(self, comm: MPI.Intracomm | None = None) -> None:
        self.comm = MPI.COMM_WORLD if comm is None else comm
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.is_root = self.rank == 0

    def share(self, n: int) -> slice:
        """Return the rows of this process, where the processes divide n samples among them in their order.

        Formula: process r of N has the rows from `floor(n r / N)` to below `floor(n (r + 1) / N)`.

        Raises: ValueError for an `n` that is no whole number of at least 0.
        """
        n = non_negative_int(n, "share n")
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def allgather(self, value: T) -> list[T]:
        """Return what each process passes, in their order; all processes must call it."""
        return [value] if self.size == 1 else self.comm.allgather(value)

    def broadcast(self, value: T) -> T:
        """Return what process 0 passes; all processes must call it."""
        return value if self.size == 1 else self.comm.bcast(value)

    def allreduce_sum(self, array: Array) -> None:
        """Replace an array by its sum over all processes, which must all call it; the bits are the same on all."""
        if self.size > 1:
            self.comm.Allreduce(MPI.IN_PLACE, array)

    def allgather_arrays(self, array: Array) -> Array:
        """Return the arrays of all processes, of one shape, one behind the other: (size, ...)."""
        stack = np.empty((self.size, *array.shape), array.dtype)
        self.comm.Allgather(np.ascontiguousarray(array), stack)
        return stack

    def allgather_rows(self, array: Array) -> Array:
        """Return the rows of all processes in their order, as one array; all processes must call it.

        Raises: ValueError for rows of different shapes or types.
        """
        if self.size == 1:
            return array
        kinds = self.allgather((len(array), array.shape[1:], array.dtype))
        if len({kind[1:] for kind in kinds}) > 1:
            described = ", ".join(f"{dtype} {shape}" for _, shape, dtype in kinds)
            error = ValueError(f"expected rows of one shape and type on all processes, received {described}")
            raise raised_by_all(error)
        counts = [count for count, *_ in kinds]
        rows = np.empty((sum(counts), *array.shape[1:]), array.dtype)
        if rows.size == 0:
            return rows
        row = MPI.BYTE.Create_contiguous(rows[:1].nbytes).Commit()  # counts of bytes may be too large for MPI
        try:
            starts = np.cumsum([0, *counts[:-1]]).tolist()
            own = np.ascontiguousarray(array)
            self.comm.Allgatherv([own.view(np.uint8), len(own), row], [rows, counts, starts, row])
        finally:
            row.Free()
        return rows

    def together(self, work: Callable[[], T]) -> T:
        """Return what `work` does; where it fails on a process, fail on all, which must all call this.

        Raises: on a process where `work` fails its error, on the others RuntimeError that names process and error.
        """
        result, error = None, None
        try:
            result = work()
        except Exception as failure:
            error = failure
        self.raise_alike(error)
        return result  # type: ignore[return-value]

    def raise_alike(self, error: BaseException | None) -> None:
        """Raise this process's error, or, where there is none here, RuntimeError for that of another process."""
        texts = self.allgather(None if error is None else f"{type(error).__name__}: {error}")
        failed = [rank for rank, text in enumerate(texts) if text is not None]
        if failed:
            raise raised_by_all(error or RuntimeError(f"process {failed[0]} of {self.size}: {texts[failed[0]]}"))

    @contextmanager
    def ending_together(self, *, may_exit: bool = True) -> Iterator[None]:
        """End all processes, after its message, where one of them fails inside the block: others would wait for it.

        An error that all processes raise, such as that of a wrong argument of `fit`, is raised as ever, and so is
        `sys.exit(0)` of a program that has done its part; `may_exit` is False where others would wait for it, too.

        >>> with Group().ending_together():
        ...     print("Here all processes work, and none of them waits for one that has failed.")
        Here all processes work, and none of them waits for one that has failed.
        """
        try:
            yield
        except BaseException as error:
            is_success = may_exit and isinstance(error, SystemExit) and error.code in (None, 0)
            if self.size == 1 or is_success or is_raised_by_all(error):
                raise
            self._end(error)

    def _end(self, error: BaseException) -> None:
        sys.stdout.flush()
        status: Any = 1
        if isinstance(error, SystemExit) and error.code not in (None, 0):  # which has said why
            status = error.code if isinstance(error.code, int) else 1
        else:
            status = 130 if isinstance(error, KeyboardInterrupt) else 1
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            print(f"process {self.rank} of {self.size} failed, and ends all:\n{text}", file=sys.stderr, flush=True)
        self.comm.Abort(status)
        os._exit(status)  # MPI_Abort may return before the process ends, which must do nothing more

    def __repr__(self) -> str:
        return f"Group(process {self.rank} of {self.size})"


def raised_by_all(error: E) -> E:
    """Mark an error as one that all processes raise, none of which then waits for another; return it."""
    vars(error)["is_raised_by_all"] = True
    return error


@contextmanager
def alike(kind: type[BaseException]) -> Iterator[None]:
    """Mark an error of this kind inside the block as one that all processes raise."""
    try:
        yield
    except kind as error:
        raised_by_all(error)
        raise


def is_raised_by_all(error: BaseException | None) -> bool:
    """Return whether an error is marked, or tells in other words of one that is.

    >>> is_raised_by_all(raised_by_all(ValueError())), is_raised_by_all(ValueError())
    (True, False)
    """
    if error is None or "is_raised_by_all" in vars(error):
        return error is not None
    # The diagnosis of a cost that is not finite, an error with the path of a layer, a program's exit after one line.
    in_other_words = isinstance(error, (NonFiniteError, LayerInputError, SystemExit))
    return in_other_words and is_raised_by_all(error.__context__)
