"""How many of the faulty programs of ``benchmarks/faults`` are repaired, and how honestly."""
