"""One page that holds a whole run: no file beside it, no network, every text from outside escaped."""
