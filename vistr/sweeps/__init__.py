"""`-m`: many runs from one command, in one folder that the same command goes on with."""
