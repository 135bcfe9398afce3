"""Products of a matrix and one vector, as a Dense layer makes them of a single sample.

OpenBLAS shares such a product among its own threads where the matrix has more numbers than `Tuning.vector_product`. It
has them once for the whole process: where several threads predict, each with a sample of its own, their products wait
for each other, and threads that have nothing to do spin for a while on cores that others could use. A product in small
pieces stays in the thread that asks for it, and has the same bits whatever the number of threads.
"""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl.ops import tuning

ROWS = 4  # a BLAS multiplies so many rows at once with a vector


def matrix_vector(matrix: Array, vector: Array, out: Array) -> None:
    """Write `matrix @ vector` into `out`, for `matrix` (rows, k), `vector` (k, 1) and `out` (rows, 1).

    A large product is made of those of some rows and some columns each, added up over the columns.

    >>> matrix_vector(np.ones((3, 2)), np.ones((2, 1)), out := np.empty((3, 1)))
    >>> out.ravel().tolist()
    [2.0, 2.0, 2.0]
    """
    rows, k = matrix.shape
    limit = tuning.TUNING.vector_product if rows > 1 else min(tuning.TUNING.vector_product, tuning.TUNING.dot_product)
    if matrix.size <= limit:
        np.matmul(matrix, vector, out=out)
        return
    columns = min(k, max(1, limit // min(rows, ROWS)))
    most = limit // columns
    run = min(rows, most // ROWS * ROWS or most)
    whole_rows, whole = rows - rows % run, k - k % columns
    runs, sums = matrix[:whole_rows].reshape(-1, run, k), out[:whole_rows].reshape(-1, run, 1)
    if whole == columns:
        np.matmul(runs[..., :columns], vector[:columns], out=sums)
    else:
        pieces = runs[..., :whole].reshape(-1, run, whole // columns, columns).transpose(2, 0, 1, 3)
        np.matmul(pieces, vector[:whole].reshape(-1, 1, columns, 1)).sum(axis=0, out=sums)
    if whole < k:
        sums += np.matmul(runs[..., whole:], vector[whole:])
    if whole_rows < rows:
        matrix_vector(matrix[whole_rows:], vector, out[whole_rows:])
