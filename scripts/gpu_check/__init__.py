"""`make gpu-check`: does this machine's GPU compute what the CPU computes? A report, a line a question."""
