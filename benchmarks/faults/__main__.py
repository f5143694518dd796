"""What `python -m benchmarks.faults` runs."""

from benchmarks.faults.run import main

if __name__ == "__main__":
    main()
