"""RFC 6455 and 7692 without a socket: frames, compression, and how deep JSON may be."""
