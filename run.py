"""Train one run, or with `-m` a sweep: `python run.py normalizer=phis teachers=radio_set`; see also `--help`."""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from phis_lab.config.globs import expand_nested_globs
from phis_lab.config.resolvers import register_resolvers
from phis_lab.config.silence import refuse_ineffective

register_resolvers()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """Train what the configuration says."""
    with open_dict(config):
        config.hydra = HydraConfig.get()
    try:
        refuse_ineffective(config)
    except ValueError as error:
        sys.exit(f"\n{error}")
    from phis_lab import app  # noqa: PLC0415  heavy: only once the configuration is known to be sound

    app.main(config)


if __name__ == "__main__":
    try:
        sys.argv[1:] = expand_nested_globs(sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))
    try:
        main()
    except SystemExit as stop:
        if stop.code == 1:
            from phis_lab.config.hints import explain

            for line in explain(sys.argv[1:]):
                print(line, file=sys.stderr)  # noqa: T201
        raise
