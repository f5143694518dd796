"""What headwater costs, measured: `python -m benchmarks` runs everything, `python -m benchmarks.overhead` one part."""
