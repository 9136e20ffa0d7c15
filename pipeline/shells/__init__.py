"""Shells: what is seen of a model from outside, as one closed surface with one baked picture of each property."""
