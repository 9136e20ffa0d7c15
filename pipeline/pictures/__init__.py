"""Pictures: decode, reduce to levels of detail, encode."""
