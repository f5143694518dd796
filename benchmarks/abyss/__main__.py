"""What `python -m benchmarks.abyss` runs."""

from benchmarks.abyss.run import main

if __name__ == "__main__":
    main()
