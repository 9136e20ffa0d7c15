"""The sample models, computed without any input: bicycle, koi, lantern, sculpture, and modules that they share."""
