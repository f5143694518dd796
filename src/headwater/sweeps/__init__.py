"""A training for each point of a grid: in processes here or on a Ray cluster, resumable, with theory's line."""
