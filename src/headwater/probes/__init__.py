"""Measuring: hooks on and off, sites in execution order, the gradient's path; produces a Flow."""
