"""`python -m tests.golden` writes what the recipes measure anew; with a folder as argument it writes there.

The numbers are the contract of every change that is not meant to change what is computed: write them anew only in a
change that is, and say in its message why they differ.
"""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

if __name__ == "__main__":
    os.environ |= ONE_THREAD  # before numpy and torch are imported
    sys.path.insert(0, str(HERE))
    from runs import machine, train_all

    written = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "measured"
    written.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        for name, numbers in train_all(Path(scratch)).items():
            text = json.dumps({"machine": machine(), **numbers}, indent=1)
            (written / f"{name}.json").write_text(text + "\n")
