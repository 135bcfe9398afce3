"""Every measured constant of the fast paths: what was measured, and on what.

`python -m benchmarks.tuning` measures them anew. Measured on two cores each of an AMD EPYC (Zen 4) and of an Intel
Xeon (both with AVX-512), NumPy 2.4 with OpenBLAS 0.3.31, float32. None of them changes a result beyond rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Tuning(NamedTuple):
    """The constants; sizes count numbers unless they say bytes.

    >>> Tuning().cache_block
    262144
    """

    cache_block: int = 1 << 18
    """Numbers of one array that a core works on at once: 1 MB of float32, what a core's second-level cache holds.
    ReLU of 8 million numbers takes 1.4 times as long in blocks 16 times as large."""

    block_multiple: int = 4
    """Blocks come in multiples of it, so that two or four cores share them evenly."""

    window_blocks: int = 2
    """Blocks of `cache_block` numbers of windows that a convolution takes at once. The epoch of `benchmarks.convnet`
    takes 9 % less than with one on two cores, whose threads then wait less often for the GIL; on one core 3 % more."""

    formula_arrays: int = 8
    """Arrays of a block's size that an elementwise formula has in the cache at once, so much smaller are its blocks. On
    one core GELU of 524,288 numbers and its derivative take 2.4 ms in blocks of 32,768, 2.9 in blocks of 16,384, 5.7
    in blocks of 4,096, and 4.3 in blocks of 65,536, whose temporary arrays cost page faults (its tanh form 1.7 and
    8.5)."""

    update_block: int = 1 << 16
    """Numbers of a parameter that an elementwise optimizer moves at once: with its gradient and its state they stay in
    the cache. SGD of 1,024 x 1,024 takes 0.33 ms in blocks and 0.59 ms without, Adam 1.8 and 3.5."""

    pooled_bytes: int = 1 << 16
    """Arrays below this size come from NumPy, whose allocator keeps their memory: 0.2 us, a lease 0.6 us. At 256 kB
    and more a new array costs a page fault for each 4 kB."""

    pool_sizes: int = 128
    """Different sizes of buffers that a pool keeps; batches of varying shape would fill the memory."""

    small_product: int = 1 << 18
    """Multiplications in one product that OpenBLAS makes in the calling thread; above, it wakes its own threads."""

    vector_product: int = 460_799 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 9_215
    """Numbers of a matrix in one product with a vector that OpenBLAS makes in the calling thread; one more, and it
    wakes its own threads: from 0.3.27 on, which comes with NumPy 2, and before. The article's first layer takes 65 us
    in pieces, 61 in one, and 40 by two threads of which nothing else wants one, but 24 ms on a busy machine."""

    dot_product: int = 10_000
    """The same of a matrix of one row: a product of two vectors, which OpenBLAS shares above this in float64."""

    stacked_kernel: int = 1 << 16
    """Numbers of a convolution's kernel up to which stacks of small products are faster than one long one: 1.5 times
    at 3 x 3 x 16 x 32."""

    stacked_rows: int = 64
    """Rows that one product of such a stack sums over at least; shorter sums leave too many results to add up."""

    few_samples: int = 8
    """Samples of a batch up to which the calling thread makes such a product at least as fast, in stacks, as two
    threads of OpenBLAS do: 8 x 784 -> 512 in 76 us and 109, but 16 x 784 -> 512 in 140 and 100."""

    thin_batch: int = 64
    """Samples of a batch up to which `W @ x.T` is faster than `x @ W.T`: at 32 x 784 -> 128 in two thirds of the
    time."""

    thin_weight: tuple[int, int] = (1 << 14, 1 << 17)
    """Numbers of a Dense weight from which the above holds, and up to which it is faster still in stacks."""

    thin_run: int = 8
    """Rows of such a weight in one product of a stack."""

    wide_outputs: tuple[int, int] = (8, 24)
    """Outputs of a Dense layer, from the least to the most, for which products of wide samples are made in tiles. The
    article's first layer takes 54 ms a step in tiles and 75 ms without."""

    wide_features: int = 1 << 14
    """Features of a sample from which the above holds."""

    wide_samples: int = 1 << 25
    """Numbers of all samples together from which it holds: 128 MB, more than any cache."""

    wide_forward_rows: int = 32
    """Samples in one product of such a forward pass."""

    thin_wide: int = 768
    """Results, those of 32 samples at most, up to which a thin batch is multiplied in such tiles, too: 32 photographs
    with 20 rows take 1.1 ms in tiles and 1.9 without, 8 with 64 rows 0.7 and 1.9, but 32 with 64 rows 7.6 and 5.3."""

    wide_backward_rows: int = 64
    """Samples in one product of such a backward pass."""

    wide_backward_features: int = 128
    """Features in one product of such a backward pass."""

    dual_step: int = 1 << 20
    """By how much a step of the dual form takes longer than a direct one, apart from the products of both: some 30 us,
    counted as the multiplications that take as long."""

    gram_features: int = 2048
    """Features of the samples that the dual form reads, as floating numbers, at a time: 1,321 photographs take 11 MB.
    Forming the Gram matrix takes the same time within 5 % from 1,024 to 8,192."""

    gram_bytes: int = 1 << 28
    """Most memory that the dual form takes by itself for the products of samples that are outside memory, 8,000 samples
    of float32; while they are formed, they take as much again."""

    part_bytes: int = 1 << 26
    """Memory of the samples outside memory that are read at once: 1,321 rows of a file with 12,288 float32 of each, so
    that the disk reads 48 kB in a run; at most two such parts are kept."""

    file_chunk: int = 8
    """Files that a thread takes at a time: each hand-over to another thread costs as much as opening a file."""

    file_window: int = 1024
    """Chunks of files that wait at once, so that a million files are not a million waiting tasks."""


TUNING = Tuning()
