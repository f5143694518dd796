"""Which command a person has asked for, so that advice ends in that one."""

import click


def command() -> str:
    """Name of the running command; ``check`` where none runs, as in a test of a part."""
    context = click.get_current_context(silent=True)
    return (context.info_name if context is not None else None) or "check"
