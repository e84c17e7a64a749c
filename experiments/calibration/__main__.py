"""`python -m experiments.calibration [layers|collectives|iterations|serving ...]`."""

from __future__ import annotations

import sys

from experiments.calibration import main

if __name__ == "__main__":
    sys.exit(main())
