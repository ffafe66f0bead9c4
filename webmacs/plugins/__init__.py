"""Device plugins: what one is, those that come with WebMACS, and instances of them."""
