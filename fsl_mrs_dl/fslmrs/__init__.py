"""The edge to FSL-MRS, and its only importer: the algorithm 'dl', its results, and the start-up hook."""
