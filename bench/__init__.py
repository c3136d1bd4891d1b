"""`make bench`: measures this project's engines and other runtimes in one run and one table (docs/bench.md)."""
