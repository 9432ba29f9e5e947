"""How much memory a run needs at most."""

from __future__ import annotations

from pathlib import Path

import torch

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class PeakMemory:
    """The largest memory since this was made: of the device for CUDA, else of the whole process, where Linux tells it.

    Args:
        device: Where the run trains, such as ``"cpu"`` or ``"cuda:1"``.

    Example:
        >>> peak = PeakMemory("cpu").mebibytes
        >>> peak is None or peak > 10  # None: this system does not tell
        True
    """

    def __init__(self, device: str) -> None:
        self._cuda = device if device.startswith("cuda") and torch.cuda.is_available() else None
        self._counted = True
        if self._cuda is not None:
            torch.cuda.reset_peak_memory_stats(self._cuda)
            return
        try:
            _RESET.write_text("5")  # the kernel starts the high-water mark anew; without it an earlier run would count
        except OSError:
            self._counted = False

    @property
    def mebibytes(self) -> float | None:
        """In units of 2**20 bytes; ``None`` where the system does not tell."""
        if self._cuda is not None:
            return round(torch.cuda.max_memory_allocated(self._cuda) / 2**20, 1)
        if not self._counted:
            return None
        try:
            lines = _STATUS.read_text().splitlines()
        except OSError:
            return None
        kibibytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        return round(kibibytes[0] / 1024, 1) if kibibytes else None
