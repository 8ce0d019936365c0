"""Train one run, or with `-m` a sweep: `python run.py normalizer=phis teachers=radio_set`; see also `--help`."""

from phis_lab.commands.train import main

if __name__ == "__main__":
    main()
