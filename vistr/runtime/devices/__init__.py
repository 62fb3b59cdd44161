"""Stand-ins for a GPU: MindSpore's real GPU plugin over CUDA libraries that count calls and do nothing."""
