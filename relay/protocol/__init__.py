"""The messages of streamxr.v1 and their JSON and binary encodings."""
