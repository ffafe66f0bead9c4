"""Where readings and configuration are kept: one interface, several backends."""
