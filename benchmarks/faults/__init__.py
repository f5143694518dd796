"""Is the diagnosis right, and how many false alarms are there? `python -m benchmarks.faults` asks every diagnoser."""
