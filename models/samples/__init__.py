"""The sample models: each module makes one, from numbers alone."""
