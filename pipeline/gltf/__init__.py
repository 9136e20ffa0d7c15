"""The glTF document as it is read and written: JSON, accessors, Draco, GLB."""
