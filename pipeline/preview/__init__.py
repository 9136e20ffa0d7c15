"""Serve a bundle on this machine: `streamxr serve`, over HTTPS with a certificate authority of its own for headsets."""
