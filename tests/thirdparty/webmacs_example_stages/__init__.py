"""Three stages for WebMACS, one of each kind, and a plugin. Another plugin is declared and was never written."""
