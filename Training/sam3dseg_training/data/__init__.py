"""Cases on disk to training samples: find, check, cache, cut windows. Nothing up to the cache needs torch."""
