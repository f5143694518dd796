"""``python -m headwater``: the same as the ``headwater`` script."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # `python -m` puts the current folder there, and only a named target may bring code in

    from headwater.cli.main import main

    main()
