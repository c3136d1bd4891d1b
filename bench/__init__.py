"""`make bench`: every engine of ours beside other runtimes, in one run and one table (docs/bench.md)."""
