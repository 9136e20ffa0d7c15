"""One picture: decoding, levels of detail, the KTX2 encoder."""
