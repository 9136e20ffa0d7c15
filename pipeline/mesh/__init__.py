"""Arrays in, arrays out: surfaces, distances, simplification and the compiled loops they need. No glTF."""
