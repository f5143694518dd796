"""Run every benchmark and bring docs/benchmarks.md up to date: what `make bench` does."""

from benchmarks import kernels, memory, overhead, scaling, tables
from benchmarks.options import RESULTS, parser, say


def main() -> None:
    """One after the other; results are written as they come, the page at the end if they went beside it."""
    given = parser(__doc__).parse_args()
    passed_on = [*(["--quick"] if given.quick else []), *(["--threads", str(given.threads)] if given.threads else [])]
    passed_on += ["--out", str(given.out)] if given.out else []
    for script in (overhead, kernels, scaling, memory):
        say(script.__name__)
        script.main(passed_on)
    if given.out and given.out.resolve() == RESULTS:
        tables.main()


if __name__ == "__main__":
    main()
