"""The benchmark: Weir beside a bare forwarder, in one run, on one core. See docs/benchmarks.md."""
