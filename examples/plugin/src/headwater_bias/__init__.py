"""Biases that drown what a layer's inputs say: a rule, its remedy, a lesson and a logger for headwater."""
