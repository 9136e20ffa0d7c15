"""The sample models, computed without any input: koi, lantern and sculpture, and the modules that they share."""
