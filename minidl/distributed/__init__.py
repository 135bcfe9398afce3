"""Training on several processes, on one machine or many, by MPI: `mpiexec -n 4 python program.py`.

This needs mpi4py and an MPI, which nothing else of minidl does: `pip install 'minidl[mpi]' mpich`.
"""

try:
    from mpi4py import MPI as _MPI  # noqa: F401
except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, and no MPI
    raise ImportError(
        f"minidl.distributed needs mpi4py and an MPI: pip install 'minidl[mpi]' mpich ({error})"
    ) from None

from minidl.distributed.group import Group
from minidl.distributed.loading import load_share
from minidl.distributed.trainer import DistributedTrainer

__all__ = ["DistributedTrainer", "Group", "load_share"]
