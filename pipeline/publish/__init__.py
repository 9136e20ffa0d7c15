"""Publishing: a bundle goes from its folder to an object store or a web server's folder."""
