"""What `python -m benchmarks.repairs` runs."""

from benchmarks.repairs.run import main

if __name__ == "__main__":
    main()
