"""MindSpore and processes: graphs and their cache, memory, devices, ranks, subprocesses, signals."""
