"""Ratios against peers, measured in turns: `make bench` for all, `python -m benchmarks NAME ...` for some.

A benchmark is a module here with `run()`, which yields rows: `Comparison`, filled in by `in_turns`, or `Measurement`
for what has an expected value instead of a peer. A correctness gate (`assert`) comes before the times. Peers that the
package itself does not need are imported by `peer_module` and named in the `bench` extra.
"""
