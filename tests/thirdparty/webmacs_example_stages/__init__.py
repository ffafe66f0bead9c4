"""Three stages for WebMACS, one of each kind."""
