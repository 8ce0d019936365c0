"""Train one run, or with `-m` a sweep: `python run.py normalizer=phis teachers=radio_set`; see also `--help`."""

from phis_lab.commands.train import main
from phis_lab.cores import share_cores

if __name__ == "__main__":
    share_cores()
    main()
