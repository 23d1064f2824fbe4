"""Is this spine possible, what kind of mistake is it, does it matter: pure functions of keypoints."""
