"""From a command line to checked options, to named runs, to the objects that train.

In the order in which a command meets them:

* `compose`: a command line as a configuration, by Hydra's `loader` over the `option_files`, with `resolvers` for names
  and hashes; `refused` and `hints` tell in sentences what Hydra refuses, and `sound` what it takes and should not.
* `nodes`: what a run reads, and the classes that nodes name; `check` holds every option against these.
* `jobs`: a configuration as a run with its folder; `sources`: the code, files and data that it is made of besides;
  `unlabelled`: what becomes of it where the images have no labels.
* `assemble`: the jobs of a group as objects, by `build`, from the nodes `teachers` and `stages` (`stage_options`),
  where their options go together. `exported`: a student that was exported, as a module again.
* `leftovers`: empty folders that a refused command must not leave behind.
"""
