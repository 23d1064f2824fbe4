"""Can the uncertainty be trusted? Reliability, scores, ranking, recalibration, conformal regions."""
