"""Does the setup hold: network, images and labels as they are read, before anyone judges the network."""
