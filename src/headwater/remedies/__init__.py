"""Repairs: what each one changes, surgery on a copy, the change as code, and the proof that it helps."""
