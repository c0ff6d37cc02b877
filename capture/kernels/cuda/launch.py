"""Launch: how many blocks and threads compute a group of certain lengths."""

from __future__ import annotations

from typing import NamedTuple

from eagerflow.capture.kernels.cuda.source import Source

THREADS = 256  # of a block
MOST = 65536  # blocks at most
BLOCKS = 1024  # blocks at most that leave totals
CHUNKS = 64  # blocks at most that leave results for the same columns
RESULTS = 1 << 17  # elements of results that teams leave for all columns, about
SCRATCH = 1 << 22  # elements of scratch rows, about
BUSY = 1 << 16  # threads that keep a GPU busy: with less work, more of them share a row


class Launch(NamedTuple):
    """Sizes of a launch.

    Attributes
    ----------
    across, down : int
        Blocks of the grid.
    threads : int
        Of a block: a power of two, and a multiple of 32.
    team : int
        Threads that share a row: a power of two, at most a warp, or the whole block.
    """

    across: int
    down: int
    threads: int
    team: int

    @property
    def blocks(self) -> int:
        """Number of blocks, each of which leaves its part of a total."""
        return self.across * self.down

    @property
    def teams(self) -> int:
        """Number of teams, each of which has scratch rows."""
        return self.blocks * (self.threads // self.team)

    def slots(self, form: str) -> int:
        """Return how many partial results there are of a column."""
        return self.teams if form == "rows" else self.down


def launch(source: Source) -> Launch:
    """Choose the sizes of the launch of a group.

    Parameters
    ----------
    source : Source
        The group's kernels.

    Returns
    -------
    Launch
        The same for the same lengths, so that sums are the same in every run.
    """
    rows, columns = source.schedule.rows, source.schedule.columns
    totals = any(not source.is_column(node) for node in source.partial)
    most = BLOCKS if totals else MOST
    if source.form == "flat":
        return Launch(min(most, -(-columns // THREADS)), 1, THREADS, THREADS)
    if source.form == "columns":
        across = -(-columns // 32)
        down = max(1, min(CHUNKS, BLOCKS // across, -(-rows // (4 * THREADS // 32))))
        return Launch(across, down, THREADS, 32)
    team = _team(rows, columns)
    threads = team if team > 32 else THREADS // 2
    teams = threads // team
    if any(source.is_column(node) for node in source.partial):
        most = max(1, min(4096, max(256, RESULTS // columns)) // teams)
    elif source.schedule.kept:
        most = max(1, min(most, max(512, SCRATCH // columns) // teams))
    return Launch(min(most, -(-rows // teams)), 1, threads, team)


def finishing(source: Source) -> Launch:
    """Return the sizes of the launch that adds up partial results."""
    column = any(source.is_column(node) for node in source.partial)
    return Launch(-(-source.schedule.columns // 32) if column else 1, 1, THREADS, 32)


def _team(rows: int, columns: int) -> int:
    """Return how many threads share a row."""
    wanted = -(-columns // (4 if rows * columns > 4 * BUSY else 1))
    if columns <= 32 or wanted <= 32:
        wanted = min(columns, 32)
    return min(1024, 1 << (wanted - 1).bit_length())
